"""The onnx engine: onnxruntime on the CPU (or another of its execution providers)."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

# Its wheels from PyPI count uses and send them to Microsoft, under an id that they keep in the user's cache. What a
# server runs is its operator's affair; onnxruntime looks at this while it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime as ort

from gantline.errors import BadArtefact, BadRequest, EngineFailed
from gantline.packages import Package
from gantline.signature import Signature, TensorSpec
from gantline.tensors import BY_ORT, Array, numpy_dtype

from .engine import Engine, EngineOptions

# A node of this name fails on purpose, and what follows tells the client why: a package's graph says so where its
# source would have raised an error on the input (gantline.builders.sklearn_encoders).
REFUSES = "refuses: "
_REFUSED = re.compile(rf"Name:'{REFUSES}(.*?)' Status Message:")
_COMPILED = re.compile(r"/onnxruntime_src/\S+ |\[ONNXRuntimeError\] : \d+ : ")  # where onnxruntime was built
SMALL_MODEL = 4 << 20  # bytes on disk below which more than one thread costs more than it gives
_PROVIDERS = {"cpu": ["CPUExecutionProvider"], "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"]}


class Onnx:
    """One onnxruntime session. Strings, BF16, sequences and maps become what V2 can carry."""

    def __init__(self, session: ort.InferenceSession, where: Path) -> None:
        self._session: Any = session  # None once closed
        # InferenceSession.run checks names and devices again, in Python: 3 us of the 9 that a small model takes.
        # The caller has checked them; tests/accelerators/test_onnx.py holds this to onnxruntime's public run().
        self._run: Any = self._session._sess.run
        self.where = where
        # an input with a default value (an initializer that the graph also lists as an input) may be left out
        defaults = (replace(_spec(i, where), optional=True) for i in session.get_overridable_initializers())
        inputs = (*(_spec(i, where) for i in session.get_inputs()), *defaults)
        nodes = session.get_outputs()
        self._kinds = {o.name: o.type for o in nodes}
        self.signature = Signature(inputs, tuple(_spec(o, where) for o in nodes))
        self._bf16_out = "tensor(bfloat16)" in self._kinds.values()
        # plain: every tensor goes straight through session.run, which knows numpy and no BF16
        tensors = self.signature.inputs + self.signature.outputs
        self._plain = all(t.datatype not in ("BYTES", "BF16") for t in tensors) and all(
            k.startswith("tensor") for k in self._kinds.values()
        )

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        try:
            if self._plain:
                return self._run(outputs, inputs, None)  # type: ignore[no-any-return]
            return self._run_converted(inputs, outputs)
        except (RuntimeError, ValueError, TypeError) as e:
            raise _failure(e) from e
        except Exception as e:  # onnxruntime's own exceptions have no common base but Exception
            if type(e).__module__.startswith("onnxruntime"):
                raise _failure(e) from e
            raise

    def _run_converted(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        feed = {name: _to_ort(name, array) for name, array in inputs.items()}
        if self._bf16_out:  # numpy has no such type: only the buffer of an OrtValue can be had
            values = {n: v if isinstance(v, ort.OrtValue) else _ort_value(n, v) for n, v in feed.items()}
            found: Sequence[Any] = self._session.run_with_ort_values(list(outputs), values)
        else:
            found = self._run(outputs, feed, None)
        return [_from_ort(v, self._kinds[name], name) for name, v in zip(outputs, found, strict=True)]

    def close(self) -> None:
        self._session = self._run = None


def load(package: Package, options: EngineOptions) -> Engine:
    """Open the package's .onnx file. BadArtefact names the file and says what onnxruntime found wrong."""
    return open_model(package.model_path, options)


def open_model(path: Path, options: EngineOptions | None = None) -> Onnx:
    """Open one .onnx file (external data beside it is found by onnxruntime)."""
    options = options or EngineOptions()
    if not path.is_file():
        raise BadArtefact(f"{path}: no such file; expected an ONNX model")
    choices = ort.SessionOptions()
    choices.log_severity_level = 4
    choices.inter_op_num_threads = 1
    choices.intra_op_num_threads = options.threads or _threads(path, options.cores)
    # spinning workers burn the core that the event loop needs
    choices.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = ort.InferenceSession(str(path), choices, providers=_PROVIDERS[options.device])
    except Exception as e:
        raise BadArtefact(f"{path}: onnxruntime {ort.__version__} cannot load it: {_one_line(e)}") from e
    return Onnx(session, path)


def _threads(path: Path, cores: int = 0) -> int:
    size = sum(f.stat().st_size for f in path.parent.glob(path.stem + "*") if f.is_file())
    return 1 if size < SMALL_MODEL else cores or os.cpu_count() or 1


def _spec(node: Any, where: Path) -> TensorSpec:
    kind = node.type
    optional = kind.startswith("optional(")
    if optional:
        kind = kind[len("optional(") : -1]
    if kind.startswith("seq(map("):  # ZipMap: one probability for each class
        return TensorSpec(node.name, _map_value(kind), (-1, -1))
    if kind.startswith("seq(tensor("):
        return TensorSpec(node.name, BY_ORT[kind[4:-1]].name, (-1,))
    if kind.startswith("map("):
        return TensorSpec(node.name, _map_value(kind), (-1,))
    datatype = BY_ORT.get(kind)
    if datatype is None:
        raise BadArtefact(f"{where}: tensor '{node.name}' has type {node.type}, which V2 cannot carry")
    shape = tuple(d if isinstance(d, int) and d >= 0 else -1 for d in node.shape or ())
    return TensorSpec(node.name, datatype.name, shape, optional)


def _map_value(kind: str) -> str:
    return BY_ORT[kind[kind.rindex("tensor(") :].rstrip(")") + ")"].name


def _to_ort(name: str, array: Array) -> Any:
    if array.dtype.kind == "O":
        text = np.empty(array.size, object)
        try:
            text[:] = [e.decode() if isinstance(e, bytes) else str(e) for e in array.ravel().tolist()]
        except UnicodeDecodeError as e:
            raise BadRequest(f"input '{name}' holds bytes that are not UTF-8; ONNX strings are UTF-8 text") from e
        return text.reshape(array.shape)
    if array.dtype.name == "bfloat16":
        return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(_contiguous(array).view(np.uint16), 16)
    return array


def _ort_value(name: str, array: Array) -> ort.OrtValue:
    if array.dtype.kind == "O":
        raise EngineFailed(f"input '{name}': onnxruntime cannot take strings where an output is BF16")
    return ort.OrtValue.ortvalue_from_numpy(_contiguous(array))


def _contiguous(array: Array) -> Array:
    return np.ascontiguousarray(array).reshape(array.shape)  # ascontiguousarray gives a scalar a dimension


def _from_ort(value: Any, kind: str, name: str) -> Array:
    if isinstance(value, ort.OrtValue):
        return _bfloat16(value) if kind == "tensor(bfloat16)" else value.numpy()
    if kind.startswith("seq(map("):  # one dict for each row, keys in ascending order
        rows = [list(row.values()) for row in value]
        return np.array(rows, numpy_dtype(_map_value(kind))).reshape(len(rows), -1 if rows else 0)
    if kind.startswith("map("):
        return np.array(list(value.values()), numpy_dtype(_map_value(kind)))
    if kind.startswith("seq("):
        if len({np.shape(v) for v in value}) > 1:
            raise EngineFailed(f"output '{name}' is a sequence of tensors of different shapes, which V2 cannot carry")
        return np.stack(value) if value else np.empty((0,), numpy_dtype(BY_ORT[kind[4:-1]].name))
    return np.asarray(value)


def _bfloat16(value: ort.OrtValue) -> Array:
    shape = value.shape()
    if 0 in shape:
        return np.empty(shape, numpy_dtype("BF16"))
    return np.frombuffer(ctypes.string_at(value.data_ptr(), 2 * prod(shape)), numpy_dtype("BF16")).reshape(shape)


def _failure(error: BaseException) -> BadRequest | EngineFailed:
    text = _one_line(error)
    refused = _REFUSED.search(text)
    return BadRequest(refused[1]) if refused else EngineFailed(text)


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return _COMPILED.sub("", text)[:400]
