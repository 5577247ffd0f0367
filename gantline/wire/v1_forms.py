"""Forms of V1's small requests, in rows or columns, for a model with one input of numbers. See list_form."""

from __future__ import annotations

from ..request import Request
from ..tensors import datatype_of
from .list_form import ListForm, around
from .v2_forms import NUMBERS
from .v2_tensors import shape_of


def values_form(body: bytes, request: Request) -> ListForm | None:
    """The form of a body that has just been decoded; None when it has none."""
    if len(request.inputs) != 1:
        return None
    word = "instances" if request.asked is None else "inputs"
    name, array = next(iter(request.inputs.items()))
    datatype = datatype_of(array)
    if datatype not in NUMBERS or (found := around(body, b'"%s"' % word.encode())) is None:
        return None
    if found.rest.get(word) != []:
        return None  # the word is another object's key
    written, shape = shape_of(found.values), list(array.shape)
    if written + [1] * (len(shape) - len(written)) != shape:
        return None  # rows that name their input
    return ListForm(found, name, datatype, shape, written, request.asked)
