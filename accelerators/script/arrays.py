"""Arrays: named tensors as bytes for the link, without pickle. Runs on both sides; needs numpy alone.

The meta part is JSON `[[name, dtype, shape, bytes], ...]`; data follows in that order, each tensor at a multiple of 64
bytes. Elements of BYTES tensors (dtype `O`) are a 4-byte little-endian length and the bytes, as in V2.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
_LENGTH = struct.Struct("<I")
_ALIGN = 64


def pack(tensors: Iterable[tuple[str, Array]]) -> tuple[bytes, bytes]:
    """Meta and body of tensors. TypeError for a dtype that cannot travel."""
    meta: list[list[Any]] = []
    parts: list[bytes | memoryview] = []
    data: bytes | memoryview
    for name, array in tensors:
        if array.dtype.kind in "OUST":
            kind, data = "O", _pack_bytes(array)
        elif array.dtype.kind in "biuf":
            little = array.dtype.newbyteorder("<")
            kind, data = little.str, _flat(array.astype(little, copy=False))
        elif array.dtype.name == "bfloat16":
            kind, data = "bfloat16", _flat(array.view(np.uint16))
        else:
            raise TypeError(f"tensor {name!r} has dtype {array.dtype}, which has no V2 datatype")
        meta.append([name, kind, list(array.shape), len(data)])
        parts.append(data)
        parts.append(bytes(-len(data) % _ALIGN))
    return json.dumps(meta).encode(), b"".join(parts)


def unpack(meta: bytes, body: bytes) -> dict[str, Array]:
    """The tensors again, writable. ValueError for bytes that are not what meta says."""
    out: dict[str, Array] = {}
    at = 0
    store = np.frombuffer(bytearray(body), np.uint8)
    for name, kind, shape, size in json.loads(meta):
        data = store[at : at + size]
        if data.size != size:
            raise ValueError(f"tensor {name!r}: {data.size} bytes where {size} were announced")
        out[str(name)] = _unpack_bytes(data.tobytes(), shape) if kind == "O" else data.view(_dtype(kind)).reshape(shape)
        at += size + -size % _ALIGN
    return out


def array(value: Any) -> Array:
    """What a script gave for a tensor, as an array."""
    return np.asarray(value)


def _flat(array: Array) -> memoryview:
    if not array.size:
        return memoryview(b"")
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _dtype(kind: str) -> np.dtype[Any]:
    if kind != "bfloat16":
        return np.dtype(kind)
    try:
        import ml_dtypes
    except ImportError:
        raise ValueError("a BF16 tensor needs the package ml_dtypes in the script's environment") from None
    bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
    return bfloat16


def _pack_bytes(array: Array) -> bytes:
    parts = []
    for e in array.ravel().tolist():
        data = e if isinstance(e, bytes) else (e if isinstance(e, str) else str(e)).encode()
        parts.append(_LENGTH.pack(len(data)))
        parts.append(data)
    return b"".join(parts)


def _unpack_bytes(data: bytes, shape: list[int]) -> Array:
    count = 1
    for d in shape:
        count *= d
    out = np.empty(count, object)
    at = 0
    for i in range(count):
        (size,) = _LENGTH.unpack_from(data, at)
        at += 4
        out[i] = data[at : at + size]
        at += size
    return out.reshape(shape)
