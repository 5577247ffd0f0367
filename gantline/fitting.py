"""Fitting: a sample's columns and arrays turned into exactly what a signature's inputs take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np

from .errors import BadRequest, UsageError
from .signature import Signature, TensorSpec
from .tensors import Array, numpy_dtype, to_bytes_array

UNNAMED = ""  # the key of a sample that is one table or array without names
_SHOWN = 8


def select(sample: Mapping[str, Array], columns: Sequence[str] = (), drop: Sequence[str] = ()) -> dict[str, Array]:
    """The named columns in the order given (all, when none is named) without the dropped ones.

    UsageError for a name that the sample does not have.
    """
    for name in (*columns, *drop):
        if name not in sample:
            raise UsageError(f"no column '{name}'; there are {_listed(sample)}")
    return {n: sample[n] for n in (columns or sample) if n not in drop}


def by_name(sample: Mapping[str, Array], columns: Sequence[str], where: str = "the sample") -> dict[str, Array]:
    """The sample's columns that a model's one matrix has, in the model's order; `columns`: their names, where known.

    A sample that has none of these names goes by position, as it is. BadRequest for one that has some of them.
    """
    missing = [n for n in columns if n not in sample]
    if len(missing) == len(columns):
        return dict(sample)
    if missing:
        raise BadRequest(f"{where}: no column {_listed(missing)}; the model takes {_listed(columns)}")
    return {n: sample[n] for n in columns}


def fit(sample: Mapping[str, Array], signature: Signature, where: str = "the sample") -> dict[str, Array]:
    """Inputs that `signature.check` takes. BadRequest says which column or shape does not fit, and what would.

    By name where the names are the signature's; columns are stacked for a single matrix input; one array without a
    name (or of any name, for a single input) goes to the single input, or column by column to as many inputs.
    Floats are rounded to the input's precision; an integer that would change is an error.
    """
    fitted: dict[str, Array] = {}
    for spec, array in _matched(sample, signature, where):
        told = f"{where}: input '{spec.name}'"
        fitted[spec.name] = cast(shaped(array, spec, told), spec.datatype, told)
    _same_rows(fitted, signature, where)
    return fitted


def rows(inputs: Mapping[str, Array]) -> int:
    """How many rows these inputs have: the first array's first dimension (1 for scalars)."""
    first = next(iter(inputs.values()), None)
    return len(first) if first is not None and first.ndim else 1


def shaped(array: Array, spec: TensorSpec, told: str) -> Array:
    """The array in a shape that the tensor accepts, if it has one without guessing; else BadRequest."""
    want, size = spec.shape, array.size
    if spec.accepts(array.shape):
        return array
    fixed = prod(want[1:]) if want and all(d >= 0 for d in want[1:]) else 0
    if array.ndim == 1 and fixed == 1 and want[0] < 0:
        return array.reshape(size, *want[1:])  # a column
    if array.ndim == 2 and len(want) == 1 and array.shape[1] == 1 and spec.accepts(array.shape[:1]):
        return array.reshape(-1)
    if want and want[0] in (-1, 1) and len(want) == array.ndim + 1 and spec.accepts((1, *array.shape)):
        return array[np.newaxis]  # one row
    if array.ndim == 2 and fixed and array.shape[1] == fixed and spec.accepts((len(array), *want[1:])):
        return array.reshape(len(array), *want[1:])  # rows written flat, as CSV must
    raise BadRequest(f"{told} takes shape {_shape(want)}, found {_shape(array.shape)}")


def cast(array: Array, datatype: str, told: str) -> Array:
    """The array as a V2 datatype; BadRequest names the first value that would change (float rounding is allowed)."""
    if datatype == "BYTES":
        if array.dtype.kind in "fcV":
            raise BadRequest(f"{told} takes text (BYTES), found numbers ({array.dtype})")
        return to_bytes_array(array)
    wanted = numpy_dtype(datatype)
    if array.dtype == wanted:
        return array
    if array.dtype.kind in "OUST":
        array = _numbers(array, datatype, told)
    with np.errstate(invalid="ignore", over="ignore"):
        out = array.astype(wanted)
        wrong = _lost(array, out, datatype)
    if wrong.any():
        at = int(np.flatnonzero(wrong.ravel())[0])
        row = np.unravel_index(at, array.shape)[0] if array.ndim else 0
        raise BadRequest(f"{told} takes {datatype}, row {row + 1} holds {array.ravel()[at]}, which does not fit")
    return out


def _lost(array: Array, out: Array, datatype: str) -> Array:
    if datatype in ("FP64", "FP32", "FP16", "BF16"):
        return ~np.isfinite(out.astype(np.float64)) & np.isfinite(array.astype(np.float64))
    changed: Array = out.astype(array.dtype) != array  # NaN, fractions and wrapped integers all differ
    if array.dtype.kind == "f" and datatype.endswith("64"):
        # 2**63 as a float survives the way there and back although it is out of range
        low, high = np.iinfo(out.dtype).min, np.iinfo(out.dtype).max
        changed |= (array < float(low)) | (array >= float(high))
    elif array.dtype.kind in "iu" and datatype.startswith(("INT", "UINT")):
        changed |= (array < 0) != (out < 0)
    return changed


def _numbers(array: Array, datatype: str, told: str) -> Array:
    values = []
    for at, value in enumerate(array.ravel().tolist()):
        try:
            values.append(float(value) if value is not None else np.nan)
        except (TypeError, ValueError) as e:
            row = np.unravel_index(at, array.shape)[0] if array.ndim else 0
            shown = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
            raise BadRequest(f"{told} takes {datatype}, row {row + 1} holds {shown[:40]!r}") from e
    return np.array(values, np.float64).reshape(array.shape)


def _matched(sample: Mapping[str, Array], signature: Signature, where: str) -> list[tuple[TensorSpec, Array]]:
    inputs = signature.inputs
    if not sample:
        raise BadRequest(f"{where}: no columns; the model takes {_takes(signature)}")
    columns = list(sample.values())
    flat = all(a.ndim == 1 for a in columns)
    if len(inputs) == 1:
        if len(columns) == 1:
            return [(inputs[0], _one_row_or_column(columns[0], inputs[0]))]
        if flat and set(sample) != {inputs[0].name}:
            return [(inputs[0], _stacked(sample, inputs[0], where))]
    required = [t for t in inputs if not t.optional]
    if all(t.name in sample for t in required):
        extra = [n for n in sample if signature.input(n) is None]
        if not extra:
            return [(t, sample[t.name]) for t in inputs if t.name in sample]
        raise BadRequest(
            f"{where}: the model has no input {_listed(extra)}; leave columns out with --drop, or choose with --columns"
        )
    if list(sample) == [UNNAMED] and columns[0].ndim == 2 and columns[0].shape[1] == len(inputs):
        return list(zip(inputs, columns[0].T, strict=True))
    if len(columns) == len(inputs) and list(sample) == [str(i) for i in range(len(inputs))]:
        return list(zip(inputs, columns, strict=True))
    raise BadRequest(f"{where}: holds {_listed(sample)}; the model takes {_takes(signature)}")


def _one_row_or_column(array: Array, spec: TensorSpec) -> Array:
    # a flat list for [-1, k]: one row of k values
    if array.ndim == 1 and len(spec.shape) == 2 and spec.shape[1] == array.size != 1:
        return array.reshape(1, -1)
    return array


def _stacked(sample: Mapping[str, Array], spec: TensorSpec, where: str) -> Array:
    width = prod(spec.shape[1:]) if all(d >= 0 for d in spec.shape[1:]) else -1
    if len(spec.shape) < 2 or width not in (-1, len(sample)):
        takes = f"{width} columns" if len(spec.shape) > 1 else "one column"
        raise BadRequest(
            f"{where}: {len(sample)} columns ({_listed(sample)}), input '{spec.name}' takes {takes}; "
            "leave columns out with --drop, or choose with --columns"
        )
    lengths = {n: len(a) for n, a in sample.items()}
    if len(set(lengths.values())) > 1:
        raise BadRequest(f"{where}: the columns differ in length: {lengths}")
    told = f"{where}: column "
    if spec.datatype == "BYTES":
        return np.stack([cast(a, "BYTES", f"{told}'{n}', input '{spec.name}'") for n, a in sample.items()], axis=1)
    return np.stack([cast(a, spec.datatype, f"{told}'{n}': input '{spec.name}'") for n, a in sample.items()], axis=1)


def _same_rows(inputs: Mapping[str, Array], signature: Signature, where: str) -> None:
    if not signature.batched:
        return
    counts = {name: len(a) for name, a in inputs.items()}
    if len(set(counts.values())) > 1:
        raise BadRequest(f"{where}: the inputs differ in rows: " + ", ".join(f"'{n}' {c}" for n, c in counts.items()))
    if 0 in counts.values():
        raise BadRequest(f"{where}: no rows")


def _takes(signature: Signature) -> str:
    shown = [f"'{t.name}' {t.datatype} {_shape(t.shape)}" for t in signature.inputs[:_SHOWN]]
    return ", ".join(shown) + (", ..." if len(signature.inputs) > _SHOWN else "")


def _listed(names: Mapping[str, Array] | Sequence[str]) -> str:
    shown = [f"'{n}'" if n else "one unnamed array" for n in list(names)[:_SHOWN]]
    return ", ".join(shown) + (", ..." if len(names) > _SHOWN else "")


def _shape(shape: Sequence[int]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"
