"""Tensors: datatypes as numpy has them, and arrays as V2 has them."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .datatypes import BY_ONNX, BY_ORT, DATATYPES, Datatype

__all__ = [
    "BY_ONNX", "BY_ORT", "DATATYPES", "Array", "Datatype", "datatype_of", "numpy_dtype", "to_bytes_array",
]  # fmt: skip

Array: TypeAlias = npt.NDArray[Any]

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
