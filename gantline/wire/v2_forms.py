"""Forms of V2's small JSON messages: requests with one input, answers of numbers. See list_form."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from ..request import Request
from ..tensors import DATATYPES, Array, datatype_of
from .list_form import MAX_BYTES, ListForm, around

NUMBERS = frozenset(d for d in DATATYPES if d not in ("BYTES", "FP16", "BF16"))


def request_form(body: bytes, request: Request) -> ListForm | None:
    """The form of a body that has just been decoded and has one JSON input, and nothing else; None when it has none."""
    simple = len(request.inputs) == 1 and request.outputs is None and not request.parameters and request.id is None
    if not simple or (found := around(body, b'"data"')) is None:
        return None
    if "data" not in found.rest["inputs"][0]:
        return None  # it is another object's; the input's own lies elsewhere, in shared memory say
    name, array = next(iter(request.inputs.items()))
    return ListForm(found, name, datatype_of(array), list(array.shape))


class ReplyForm:
    """The bytes around the numbers of an answer whose outputs are JSON numbers of given shapes."""

    __slots__ = ("_parts",)

    def __init__(self, model: str, version: str, names: Sequence[str], arrays: Sequence[Array]) -> None:
        entries = [
            orjson.dumps({"name": n, "datatype": datatype_of(a), "shape": list(a.shape)})[:-1] + b',"data":'
            for n, a in zip(names, arrays, strict=True)
        ]
        head = orjson.dumps({"model_name": model, "model_version": version})[:-1] + b',"outputs":['
        self._parts = [head + entries[0], *(b"}," + e for e in entries[1:]), b"}]}"]

    @staticmethod
    def fits(arrays: Sequence[Array]) -> bool:
        """Whether these arrays can be written this way: small ones of numbers, which are worth no thread."""
        small = sum(a.nbytes for a in arrays) <= MAX_BYTES
        return small and bool(arrays) and all(datatype_of(a) in NUMBERS for a in arrays)

    def write(self, arrays: Sequence[Array]) -> bytes | None:
        """The answer's body, for arrays of the same shapes and datatypes; None when it holds NaN or infinities,
        which need the slower writer.
        """
        out: list[bytes] = []
        for part, array in zip(self._parts, arrays, strict=False):
            data = orjson.dumps(array.ravel(), option=orjson.OPT_SERIALIZE_NUMPY)
            if b"n" in data and b"null" in data:
                return None
            out += (part, data)
        out.append(self._parts[-1])
        return b"".join(out)
