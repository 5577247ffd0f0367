"""Promise: the outputs that a script with infer() says it gives, and what it gave held to them. Runs in the host.

What is held: BYTES are str or bytes; numbers have the datatype that was said, or are turned into it when that loses
nothing but precision. An answer that breaks it is an error of one line, for clients to read: no text of the script's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from . import arrays
from .arrays import Array
from .contract import Refused


class Promise:
    """Name -> (V2 datatype, numpy's name for it). Outputs beyond these pass as they are: nobody asks for them."""

    def __init__(self, outputs: Mapping[str, tuple[str, str]], verb: str) -> None:
        """`verb`: what infer() does with an answer, for errors: "returned" or "yielded"."""
        self._outputs = outputs
        self._verb = verb

    def pack(self, item: Any) -> tuple[bytes, bytes]:
        """One answer for the link. Refused for what breaks the promise."""
        if not hasattr(item, "items"):
            what = f"infer() {self._verb} {type(item).__name__}"
            raise Refused(500, f"{what}; each answer is a dictionary of arrays by output name")
        return arrays.pack((str(name), self._held(str(name), value)) for name, value in item.items())

    def _held(self, name: str, value: Any) -> Array:
        try:
            array = arrays.array(value)
        except ValueError as e:  # rows of different lengths
            raise Refused(500, f"output '{name}': what infer() {self._verb} is not an array: {e}") from e
        said = self._outputs.get(name)
        if said is None:
            return array
        if said[0] == "BYTES":
            odd = _no_text(array)
            if odd:
                raise Refused(500, f"output '{name}' is BYTES (str or bytes), but infer() {self._verb} {odd}")
            return array
        found = _as(array, said[1])
        if found is None:
            raise Refused(500, f"output '{name}' is {said[0]}, but infer() {self._verb} {_what(array)}")
        return found


def _no_text(array: Array) -> str:
    """What there is in an array instead of text; empty when all of it is."""
    if array.dtype.kind in "UST":
        return ""
    if array.dtype.kind != "O":
        return _what(array)
    for element in array.ravel().tolist():
        if not isinstance(element, str | bytes):
            return f"an element of type {type(element).__name__}"
    return ""


def _what(array: Array) -> str:
    kind = "str" if array.dtype.kind in "UT" else "bytes" if array.dtype.kind == "S" else array.dtype.name
    return f"{kind} of shape {list(array.shape)}"


def _as(array: Array, name: str) -> Array | None:
    """The same numbers in another dtype, or None where they are others then."""
    dtype = array.dtype
    if dtype.name == name:
        return array
    if name == "bool" or dtype.kind not in "biuf":
        return None
    if name == "bfloat16":
        import ml_dtypes

        return array.astype(ml_dtypes.bfloat16)
    wanted = np.dtype(name)
    if wanted.kind == "f":
        return array.astype(wanted)
    if dtype.kind == "f":
        return None
    found = array.astype(wanted)
    return found if np.array_equal(found, array) else None  # else a number was out of range
