"""Frames: a header and named arrays through a pipe between two processes, without pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

from gantline.tensors import Array, numpy_dtype

Header = dict[str, Any]


def write_frame(stream: IO[bytes], header: Mapping[str, Any], arrays: Mapping[str, Array] | None = None) -> None:
    """One line of JSON, then the arrays' bytes in order. Texts are a list of lengths and then UTF-8."""
    described, pieces = [], []
    for name, array in (arrays or {}).items():
        plain, kind = np.ascontiguousarray(array), array.dtype.name
        if array.dtype.kind in "OUST":
            kind = "object"
            texts = [e if isinstance(e, bytes) else str(e).encode() for e in array.ravel().tolist()]
            pieces.append(np.array([len(t) for t in texts], np.int64).tobytes() + b"".join(texts))
        else:
            pieces.append(plain.tobytes())
        described.append([name, kind, list(array.shape), len(pieces[-1])])
    stream.write(json.dumps({"header": dict(header), "arrays": described}).encode() + b"\n")
    for piece in pieces:
        stream.write(piece)
    stream.flush()


def read_frame(stream: IO[bytes]) -> tuple[Header, dict[str, Array]]:
    """The next frame; EOFError when the other side has gone."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise EOFError("the other process has ended")
    tree = json.loads(line)
    arrays = {}
    for name, kind, shape, size in tree["arrays"]:
        data = stream.read(size)
        if len(data) != size:
            raise EOFError("the other process has ended")
        arrays[name] = _texts(data, shape) if kind == "object" else _numbers(data, kind, shape)
    return tree["header"], arrays


def _numbers(data: bytes, kind: str, shape: list[int]) -> Array:
    dtype = numpy_dtype("BF16") if kind == "bfloat16" else np.dtype(kind)
    return np.frombuffer(data, dtype).reshape(shape).copy()


def _texts(data: bytes, shape: list[int]) -> Array:
    count = int(np.prod(shape))
    lengths = np.frombuffer(data, np.int64, count)
    ends = 8 * count + np.cumsum(lengths)
    out = np.empty(count, object)
    out[:] = [data[end - length : end] for end, length in zip(ends.tolist(), lengths.tolist(), strict=True)]
    return out.reshape(shape)
