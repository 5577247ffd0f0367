"""Forms of MLflow's small JSON requests: which list of a body is the model's input. See list_form."""

from __future__ import annotations

from ..request import Request
from ..tensors import datatype_of
from .list_form import ListForm, around
from .mlflow import InOrder
from .v2_tensors import shape_of

# the keys that hold the one list
_KEYS = (b'"data"', b'"instances"', b'"inputs"')


def scoring_form(body: bytes, request: Request) -> ListForm | None:
    """The form of a body that has just been decoded; None when it has none."""
    key = next((k for k in _KEYS if k in body), b"")
    if type(request) is not InOrder or not key or (found := around(body, key)) is None:
        return None
    word, split = key[1:-1].decode(), found.rest.get("dataframe_split")
    own = found.rest if split is None else split
    if own.get(word) != [] or (word == "data") is (split is None):
        return None  # the word is another object's key, params' say, or means nothing where it stands
    name, array = next(iter(request.inputs.items()))
    return ListForm(found, name, datatype_of(array), list(array.shape), shape_of(found.values))
