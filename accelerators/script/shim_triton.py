"""Shim for triton_python_backend_utils: what a model.py of Triton's python backend imports, for one model and the CPU.

Names and behaviour are those of python_backend's README (https://github.com/triton-inference-server/python_backend).
What needs a whole Triton (calling other models, its metrics, GPU memory) is not here: packaging refuses it by name.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
TRITONSERVER_RESPONSE_COMPLETE_FINAL = 1
TRITONSERVER_REQUEST_FLAG_SEQUENCE_START = 1
TRITONSERVER_REQUEST_FLAG_SEQUENCE_END = 2
_LENGTH = struct.Struct("<I")
_NUMPY: dict[str, Any] = {
    "BOOL": np.bool_, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64,
    "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64,
    "FP16": np.float16, "FP32": np.float32, "FP64": np.float64, "STRING": np.object_, "BYTES": np.object_,
}  # fmt: skip
_log = logging.getLogger("triton")


class TritonModelException(Exception):
    """What Triton's own calls raise."""


class TritonError:
    """An error as the answer to one request."""

    UNKNOWN, INTERNAL, NOT_FOUND, INVALID_ARG, UNAVAILABLE, UNSUPPORTED, ALREADY_EXISTS, CANCELLED = range(8)

    def __init__(self, message: str, code: int = INTERNAL) -> None:
        self._message, self._code = str(message), code

    def message(self) -> str:
        return self._message

    def code(self) -> int:
        return self._code


class Tensor:
    """A named tensor in the CPU's memory."""

    def __init__(self, name: str, numpy_array: Array) -> None:
        if not isinstance(numpy_array, np.ndarray):
            raise TritonModelException(f"Tensor {name!r}: expected a numpy array, got {type(numpy_array).__name__}")
        self._name, self._array = name, numpy_array

    @classmethod
    def from_dlpack(cls, name: str, tensor: Any) -> Tensor:
        """A tensor of another library, without copying it."""
        return cls(name, np.from_dlpack(tensor))

    def to_dlpack(self) -> Any:
        return self._array.__dlpack__()

    def __dlpack__(self, **options: Any) -> Any:
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> Array:
        return self._array

    def shape(self) -> list[int]:
        return list(self._array.shape)

    def triton_dtype(self) -> str:
        return np_to_triton_dtype(self._array.dtype)

    def is_cpu(self) -> bool:
        return True


class InferenceResponse:
    """The answer to one request: tensors, or an error."""

    def __init__(self, output_tensors: Sequence[Tensor] = (), error: Any = None, parameters: str = "") -> None:
        self._tensors = list(output_tensors)
        self._error = TritonError(error) if isinstance(error, str) else error
        self._parameters = parameters

    def output_tensors(self) -> list[Tensor]:
        return self._tensors

    def has_error(self) -> bool:
        return self._error is not None

    def error(self) -> TritonError | None:
        return self._error

    def parameters(self) -> str:
        return self._parameters


class InferenceRequest:
    """A request, as execute() gets it. `send`: where the answers of a decoupled model go."""

    def __init__(
        self,
        inputs: Sequence[Tensor],
        requested_output_names: Sequence[str] = (),
        send: Callable[[InferenceResponse | None, int], None] | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self._inputs, self._names = list(inputs), list(requested_output_names)
        self._send, self._cancelled = send, cancelled

    def inputs(self) -> list[Tensor]:
        return self._inputs

    def requested_output_names(self) -> list[str]:
        return self._names

    def request_id(self) -> str:
        return ""

    def correlation_id(self) -> int:
        return 0

    def flags(self) -> int:
        return 0

    def timeout(self) -> int:
        return 0

    def parameters(self) -> str:
        """JSON, as in Triton. Parameters do not reach scripts."""
        return "{}"

    def is_cancelled(self) -> bool:
        return self._cancelled()

    def get_response_sender(self) -> InferenceResponseSender:
        if self._send is None:
            raise TritonModelException("the model is not decoupled: set model_transaction_policy in config.pbtxt")
        return InferenceResponseSender(self._send, self._cancelled)


class InferenceResponseSender:
    """Sends the answers of a decoupled model, from any thread."""

    def __init__(self, send: Callable[[InferenceResponse | None, int], None], cancelled: Callable[[], bool]) -> None:
        self._send, self._cancelled = send, cancelled

    def send(self, response: InferenceResponse | None = None, flags: int = 0) -> None:
        """One answer, or none with the final flag."""
        if response is None and not flags & TRITONSERVER_RESPONSE_COMPLETE_FINAL:
            raise TritonModelException("send() without a response needs TRITONSERVER_RESPONSE_COMPLETE_FINAL")
        self._send(response, flags)

    def is_cancelled(self) -> bool:
        return self._cancelled()


class Logger:
    """Triton's log, as Python's."""

    @staticmethod
    def log_info(message: str) -> None:
        _log.info(message)

    @staticmethod
    def log_warn(message: str) -> None:
        _log.warning(message)

    @staticmethod
    def log_error(message: str) -> None:
        _log.error(message)

    @staticmethod
    def log_verbose(message: str) -> None:
        _log.debug(message)

    @staticmethod
    def log(message: str, level: int = logging.INFO) -> None:
        _log.info(message)


def get_input_tensor_by_name(inference_request: InferenceRequest, name: str) -> Tensor | None:
    """None where the request has no such input."""
    return next((t for t in inference_request.inputs() if t.name() == name), None)


def get_output_tensor_by_name(inference_response: InferenceResponse, name: str) -> Tensor | None:
    """None where the response has no such output."""
    return next((t for t in inference_response.output_tensors() if t.name() == name), None)


def get_input_config_by_name(model_config: dict[str, Any], name: str) -> dict[str, Any] | None:
    """An input of the configuration that initialize() got, once it has been read as JSON."""
    return next((t for t in model_config.get("input", []) if t["name"] == name), None)


def get_output_config_by_name(model_config: dict[str, Any], name: str) -> dict[str, Any] | None:
    """An output of it."""
    return next((t for t in model_config.get("output", []) if t["name"] == name), None)


def using_decoupled_model_transaction_policy(model_config: dict[str, Any]) -> bool:
    return bool(model_config.get("model_transaction_policy", {}).get("decoupled", False))


def triton_string_to_numpy(triton_type_string: str) -> Any:
    """The numpy type of TYPE_FP32 and so on."""
    return _NUMPY[triton_type_string.removeprefix("TYPE_")]


triton_to_np_type = triton_to_numpy_type = triton_string_to_numpy


def np_to_triton_dtype(dtype: Any) -> str:
    """FP32 and so on; BYTES for text and objects."""
    kind = np.dtype(dtype)
    if kind.kind in "OSU":
        return "BYTES"
    return next(name for name, found in _NUMPY.items() if np.dtype(found) == kind)


def serialize_byte_tensor(input_tensor: Array) -> Array | None:
    """A tensor of bytes or text in V2's form, as an array of one object; None for an empty one."""
    if input_tensor.size == 0:
        return None
    parts = []
    for value in input_tensor.ravel():
        data = value if isinstance(value, bytes) else str(value).encode()
        parts.append(_LENGTH.pack(len(data)) + data)
    return np.asarray(b"".join(parts), dtype=np.object_)


def deserialize_bytes_tensor(encoded_tensor: bytes) -> Array:
    """The elements of V2's form."""
    out, at = [], 0
    while at < len(encoded_tensor):
        (size,) = _LENGTH.unpack_from(encoded_tensor, at)
        out.append(encoded_tensor[at + 4 : at + 4 + size])
        at += 4 + size
    return np.array(out, dtype=np.object_)
