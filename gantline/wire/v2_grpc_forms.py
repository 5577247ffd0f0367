"""Forms of gRPC's messages: what stays the same from one infer message to the next, kept as bytes.

As in v2_forms, for protobuf: between two requests of one client only the raw tensors differ, and these lie at the same
places while shapes stay the same. A message of the same length with the same bytes around its tensors is the same
request in all but these.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ..request import Reply, Request
from ..tensors import DATATYPES, Array, datatype_of, numpy_dtype
from .v2_grpc import RAW_OUTPUT, encode_reply, raw_places, varint
from .v2_tensors import from_bytes

MAX_AROUND = 64 << 10  # bytes around the tensors of a request that are worth remembering
MAX_BYTES = 64 << 10  # of an answer's arrays that are written this way
_FIXED = frozenset(DATATYPES) - {"BYTES"}


class RequestForm:
    """The bytes around the raw tensors of a ModelInferRequest that asks for nothing but an answer."""

    __slots__ = ("_around", "_tensors", "size")

    def __init__(
        self, size: int, around: Sequence[tuple[int, bytes]], tensors: Sequence[tuple[str, str, list[int], int, int]]
    ) -> None:
        """`around`: pieces and where they begin; `tensors`: name, datatype, shape, and the bytes' begin and end."""
        self.size = size
        self._around = tuple(around)
        self._tensors = tuple(tensors)

    @classmethod
    def of(cls, data: bytes, request: Request) -> RequestForm | None:
        """The form of a message that has just been decoded; None when it has none."""
        if request.id is not None or request.parameters or any(o.place for o in request.outputs or ()):
            return None
        places = raw_places(data)
        if not places or len(places) != len(request.inputs):
            return None
        around: list[tuple[int, bytes]] = []
        tensors: list[tuple[str, str, list[int], int, int]] = []
        kept = 0
        for (_, at, end), (name, array) in zip(places, request.inputs.items(), strict=True):
            datatype = datatype_of(array)
            if datatype not in _FIXED:
                return None
            around.append((kept, data[kept:at]))
            tensors.append((name, datatype, list(array.shape), at, end))
            kept = end
        if kept < len(data):
            around.append((kept, data[kept:]))
        if sum(len(piece) for _, piece in around) > MAX_AROUND:
            return None
        return cls(len(data), around, tensors)

    def read(self, data: bytes) -> dict[str, Array] | None:
        """The inputs of a message of this form, over its bytes; None if it is of another."""
        if len(data) != self.size:
            return None
        for at, piece in self._around:
            if not data.startswith(piece, at):
                return None
        view = memoryview(data)
        return {name: from_bytes(name, kind, shape, view[at:end]) for name, kind, shape, at, end in self._tensors}


class ReplyForm:
    """The bytes around the tensors of a ModelInferResponse whose outputs have given shapes and datatypes."""

    __slots__ = ("_parts",)

    def __init__(self, model: str, version: str, names: Sequence[str], arrays: Sequence[Array]) -> None:
        empty = encode_reply(Reply(model, version, list(zip(names, arrays, strict=True))))
        sizes = [prod(a.shape) * numpy_dtype(datatype_of(a)).itemsize for a in arrays]
        keys = [RAW_OUTPUT + varint(size) for size in sizes]
        head = empty[: len(empty) - sum(sizes) - sum(map(len, keys))]
        self._parts = [head + keys[0], *keys[1:]]

    @staticmethod
    def fits(arrays: Sequence[Array]) -> bool:
        """Whether these arrays can be written this way."""
        small = sum(a.nbytes for a in arrays) <= MAX_BYTES
        return small and bool(arrays) and all(datatype_of(a) in _FIXED for a in arrays)

    def write(self, arrays: Sequence[Array]) -> bytes:
        """The message, for arrays of the same shapes and datatypes."""
        parts = self._parts
        if len(arrays) == 1:
            return parts[0] + arrays[0].tobytes()
        return b"".join([piece for part, array in zip(parts, arrays, strict=True) for piece in (part, array.tobytes())])
