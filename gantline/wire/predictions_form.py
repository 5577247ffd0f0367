"""PredictionsForm: the bytes around the numbers of small answers `{"predictions": ...}`, MLflow's and V1's. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import orjson

from ..tensors import Array
from .v2_forms import ReplyForm


class PredictionsForm:
    """The bytes around the numbers of an answer: any rows of one output, or one row of several."""

    __slots__ = ("_chosen", "_parts", "_plain")

    def __init__(self, names: Sequence[str], chosen: Sequence[int], plain: bool) -> None:
        """`chosen`: which of the outputs are the predictions; `plain`: a row of one number is told as the number."""
        self._chosen = chosen
        self._plain = plain
        self._parts: list[bytes] | None = None
        if len(chosen) > 1:
            keys = [orjson.dumps(names[i]) + b":" for i in chosen]
            self._parts = [b'{"predictions":[{' + keys[0], *(b"," + k for k in keys[1:])]

    @classmethod
    def of(
        cls, names: Sequence[str], arrays: Sequence[Array], wanted: Sequence[str] = (), form: str = ""
    ) -> PredictionsForm | None:
        """The form of an answer with such arrays; None for what is written the long way. `wanted`: none is all.

        `form`: how the answer is told, as the manifest's TableInfo has it.
        """
        if form not in ("", "numbers"):
            return None
        chosen = [i for i, n in enumerate(names) if n in wanted or not wanted]
        found = [arrays[i] for i in chosen]
        if not ReplyForm.fits(found) or not all(a.ndim for a in found):
            return None
        fits = len(found) == 1 or all(len(a) == 1 for a in found)
        return cls(names, chosen, form == "numbers") if fits else None

    def write(self, arrays: Sequence[Array]) -> bytes | None:
        """The answer's body; None when it holds NaN or infinities, which need the slower writer."""
        found = [single(arrays[i]) if self._plain else arrays[i] for i in self._chosen]
        texts = [orjson.dumps(np.ascontiguousarray(a), option=orjson.OPT_SERIALIZE_NUMPY) for a in found]
        if any(b"null" in t for t in texts):
            return None
        if self._parts is None:
            return b'{"predictions":' + texts[0] + b"}"
        # a list of one row without its brackets is the row
        return b"".join([p + t[1:-1] for p, t in zip(self._parts, texts, strict=True)]) + b"}]}"


def single(array: Array) -> Array:
    """Rows of one value as the values themselves, as a model's own predict() answers them."""
    return array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array
