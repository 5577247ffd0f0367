"""The one table of datatypes: V2 name, numpy, ONNX and protobuf spellings of the same thing.

V2 names: Open Inference Protocol (https://github.com/kserve/open-inference-protocol) plus BF16 of Triton's extension.
ONNX numbers: TensorProto.DataType in onnx.proto.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Datatype:
    """One element type. `itemsize` is in bytes, 0 for BYTES, whose elements have lengths of their own."""

    name: str
    numpy: str
    onnx: int
    ort: str
    itemsize: int
    contents: str | None  # field of InferTensorContents; None: raw bytes only


DATATYPES: dict[str, Datatype] = {
    d.name: d
    for d in (
        Datatype("BOOL", "bool", 9, "tensor(bool)", 1, "bool_contents"),
        Datatype("UINT8", "uint8", 2, "tensor(uint8)", 1, "uint_contents"),
        Datatype("UINT16", "uint16", 4, "tensor(uint16)", 2, "uint_contents"),
        Datatype("UINT32", "uint32", 12, "tensor(uint32)", 4, "uint_contents"),
        Datatype("UINT64", "uint64", 13, "tensor(uint64)", 8, "uint64_contents"),
        Datatype("INT8", "int8", 3, "tensor(int8)", 1, "int_contents"),
        Datatype("INT16", "int16", 5, "tensor(int16)", 2, "int_contents"),
        Datatype("INT32", "int32", 6, "tensor(int32)", 4, "int_contents"),
        Datatype("INT64", "int64", 7, "tensor(int64)", 8, "int64_contents"),
        Datatype("FP16", "float16", 10, "tensor(float16)", 2, None),
        Datatype("BF16", "bfloat16", 16, "tensor(bfloat16)", 2, None),
        Datatype("FP32", "float32", 1, "tensor(float)", 4, "fp32_contents"),
        Datatype("FP64", "float64", 11, "tensor(double)", 8, "fp64_contents"),
        Datatype("BYTES", "object", 8, "tensor(string)", 0, "bytes_contents"),
    )
}
BY_ORT: dict[str, Datatype] = {d.ort: d for d in DATATYPES.values()}
BY_ONNX: dict[int, Datatype] = {d.onnx: d for d in DATATYPES.values()}
_NUMPY: dict[str, np.dtype[Any]] = {d.name: np.dtype(d.numpy) for d in DATATYPES.values() if d.name != "BF16"}
# keyed by the dtype itself: its .name is computed at every call and costs 3 us
_BY_NUMPY: dict[np.dtype[Any], str] = {dtype: name for name, dtype in _NUMPY.items()}


def numpy_dtype(datatype: str) -> np.dtype[Any]:
    """The numpy dtype of a V2 datatype (bfloat16 comes from ml_dtypes, imported only when met). KeyError if unknown."""
    found = _NUMPY.get(datatype)
    if found is None:
        if datatype != "BF16":
            raise KeyError(datatype)
        import ml_dtypes

        found = _NUMPY["BF16"] = np.dtype(ml_dtypes.bfloat16)
        _BY_NUMPY[found] = "BF16"
    return found


def datatype_of(array: Array) -> str:
    """The V2 datatype of an array; strings of any numpy kind are BYTES. TypeError for what V2 cannot carry."""
    name = _BY_NUMPY.get(array.dtype)
    if name is not None:
        return name
    if array.dtype.kind in "UST":
        return "BYTES"
    if array.dtype.name == "bfloat16":
        return "BF16"
    raise TypeError(f"numpy dtype {array.dtype} has no V2 datatype; use one of {', '.join(DATATYPES)}")


def to_bytes_array(array: Array) -> Array:
    """A BYTES tensor as an object array of `bytes`: str elements become UTF-8, others their str()."""
    flat = [
        e if isinstance(e, bytes) else (e if isinstance(e, str) else str(e)).encode() for e in array.ravel().tolist()
    ]
    out = np.empty(len(flat), object)
    out[:] = flat
    return out.reshape(array.shape)
