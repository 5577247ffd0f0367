"""Feeding: what a caller hands to `infer` turned into named arrays, by the model's metadata where that is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from ..errors import BadArtefact, BadRequest
from ..fitting import UNNAMED, by_name, cast, fit, shaped
from ..samples import from_frame, from_json
from ..signature import Signature
from ..tensors import Array, to_bytes_array

# arrays, lists or scalars by name; or one array, list of rows or records, or table, for the model's own inputs
Inputs: TypeAlias = Mapping[str, Any] | Array | list[Any] | Any


def needs_signature(inputs: Inputs) -> bool:
    """Whether the model's metadata is needed: for all but arrays by name, which are sent as they are."""
    return not (isinstance(inputs, Mapping) and all(isinstance(v, np.ndarray) for v in inputs.values()))


def arrays_of(inputs: Inputs, signature: Signature | None, model: str, columns: Sequence[str] = ()) -> dict[str, Array]:
    """Named arrays as they go onto the wire. BadRequest says which input does not fit, and why.

    `columns`: the names of the model's one matrix's columns, by which those of a table are found.
    """
    where = f"model '{model}'"
    if isinstance(inputs, Mapping):
        if signature is None:
            return {name: native(array) for name, array in inputs.items()}
        return {name: _named(name, value, signature, where) for name, value in inputs.items()}
    assert signature is not None  # needs_signature said so
    table = hasattr(inputs, "columns") and hasattr(inputs, "__getitem__")
    if table or isinstance(inputs, list):
        try:
            sample = from_frame(inputs) if table else from_json(inputs, "inputs")
        except BadArtefact as e:
            raise BadRequest(f"{where}: {e}") from e
        except TypeError as e:  # its columns are no names
            kind = f"{type(inputs).__module__}.{type(inputs).__qualname__}"
            raise BadRequest(f"{where}: a table of {kind}: hand in a pandas or polars DataFrame") from e
        return fit(by_name(sample, columns, where), signature, where)
    return fit({UNNAMED: np.asarray(inputs)}, signature, where)


def native(array: Array) -> Array:
    """An array that the wire takes: text as bytes, the machine's byte order."""
    if array.dtype.kind in "OUST":
        return to_bytes_array(array)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _named(name: str, value: Any, signature: Signature, where: str) -> Array:
    if isinstance(value, np.ndarray):
        return native(value)
    spec = signature.input(name)
    if spec is None:
        known = ", ".join(f"'{t.name}'" for t in signature.inputs)
        raise BadRequest(f"{where}: unexpected input '{name}'; it takes {known}")
    told = f"{where}: input '{name}'"
    if hasattr(value, "to_numpy"):
        value = value.to_numpy()
    elif isinstance(value, list | tuple):
        try:
            value = from_json(list(value), told)
        except BadArtefact as e:
            raise BadRequest(e.message) from e
        if list(value) != [UNNAMED]:
            raise BadRequest(f"{told} takes {spec.datatype}, found values of several types")
        value = value[UNNAMED]
    return cast(shaped(np.asarray(value), spec, told), spec.datatype, told)
