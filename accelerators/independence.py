"""Independence: whether rows that run together answer as they do alone, so that requests may be stacked.

A free first dimension does not prove it: a model may normalise over its batch.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gantline.errors import EngineFailed, GantlineError, ScriptFailed
from gantline.signature import TensorSpec
from gantline.tensors import Array

from .agreement import compare, is_float
from .session import Session, zeros

RTOL = 1e-4  # as packaging allows between a model and its source
ALONE = 8  # rows that are run one by one, to see whether others in a batch change their answers


def independent(session: Session, inputs: Mapping[str, Array]) -> bool:
    """Tried on the rows given, and on the same rows of other signs and sizes: a program that looks at its whole batch
    (`if x.sum() > 0`, `x.max() > 3`) may treat rows that are alike as it treats each of them.
    """
    some = {n: a[:ALONE] if len(a) > 1 else np.repeat(a, 2, axis=0) for n, a in inputs.items()}
    try:
        if not _as_alone(session, some):
            return False
    except (EngineFailed, ScriptFailed):
        session.run(inputs)  # of all together it is known that they run: of fewer they are no rows by themselves
        return False
    try:
        return _as_alone(session, {n: _apart(a) for n, a in some.items()})
    except GantlineError:
        return True  # the model does not take such rows, which says nothing of those it takes


def presumably_independent(session: Session) -> bool:
    """The same, of a model of which nobody has given rows; tried on two of random numbers.

    The second is larger, so that a program that looks for large values finds some in one of them. False if the
    program fails.
    """
    given = [t for t in session.signature.inputs if not t.optional]
    if not session.signature.batched or not given:
        return False
    random = np.random.default_rng(0)
    two = {t.name: np.concatenate([_random(t, random, size) for size in (1.0, 8.0)]) for t in given}
    try:
        return _as_alone(session, two)
    except GantlineError:
        return False


def _as_alone(session: Session, rows: Mapping[str, Array]) -> bool:
    count = len(next(iter(rows.values())))
    together = session.run(rows)
    if any(a.ndim == 0 or len(a) != count for a in together):
        return False
    alone = [session.run({n: a[i : i + 1] for n, a in rows.items()}) for i in range(count)]
    if any(a.shape[:1] != (1,) for one in alone for a in one):
        return False
    joined = [np.concatenate(column) for column in zip(*alone, strict=True)]
    pairs = zip(session.output_names, together, joined, strict=True)
    return not any(compare(name, a, b).breach(RTOL) for name, a, b in pairs)


def _random(spec: TensorSpec, random: np.random.Generator, size: float) -> Array:
    empty = zeros(spec, 1)
    if empty.dtype.kind in "fV":  # V: bfloat16 as numpy sees it
        return (size * random.standard_normal(empty.shape)).astype(empty.dtype)
    return empty  # integers may be indices, strings categories: zeros fit both


def _apart(rows: Array) -> Array:
    """Row by row of another sign and size; what is no float (an index, a word) stays."""
    if not is_float(rows):
        return rows
    factors = np.resize(np.array([1, -4, 0.25, -1, 4, -0.25]), len(rows)).reshape(-1, *[1] * (rows.ndim - 1))
    with np.errstate(over="ignore"):
        return (rows * factors).astype(rows.dtype)
