"""Padding declared for a package, tried: a padded request must get the answer that it gets alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from gantline.accelerators.agreement import compare
from gantline.accelerators.padding import Padding
from gantline.accelerators.session import Session

from gantline.errors import EngineFailed, VerificationFailed
from gantline.manifest import Batching
from gantline.tensors import Array

RTOL = 1e-6  # of a padded answer against the unpadded one
# of three requests, for each of their free dimensions: none is the longest in all, so that no two are confused
LENGTHS = ((6, 9, 11), (3, 10, 5), (5, 4, 12))


def prove_padding(session: Session, batching: Batching, sample: Mapping[str, Array]) -> None:
    """Run rows of different lengths alone and padded together. VerificationFailed names the output that differs.

    BadArtefact if the declaration does not fit the model's inputs and outputs.
    """
    name = f"package '{session.package.name}'"
    padding = Padding(batching, session.signature, name)
    requests = [
        padding.complete({n: _of_lengths(a[i : i + 1] if i < len(a) else a[:1], padding.axes(n), lengths)
                          for n, a in sample.items()})
        for i, lengths in enumerate(LENGTHS)
    ]  # fmt: skip
    try:
        alone = [session.run(r) for r in requests]
        together = session.run(padding.stack(requests))
    except EngineFailed as e:
        raise VerificationFailed(f"{name}: it cannot be padded, it does not run on rows of other lengths: {e}") from e
    for i, request in enumerate(requests):
        for output, own, all_ in zip(session.output_names, alone[i], together, strict=True):
            problem = _differs(output, own, padding.cut(output, all_[i : i + 1], request))
            if problem:
                raise VerificationFailed(
                    f"{name}: a row that is padded is answered otherwise than alone: {problem}; a mask (--pad-mask) or "
                    "--unpad may be missing, or the model cannot be padded"
                )


def _differs(name: str, alone: Array, padded: Array) -> str:
    if alone.shape != padded.shape:
        return f"output '{name}' has shape {list(padded.shape)}, alone {list(alone.shape)}"
    return compare(name, alone, padded, 1e-7).breach(RTOL)


def _of_lengths(row: Array, axes: tuple[int, ...], lengths: tuple[int, ...]) -> Array:
    """The row with its free dimensions of these lengths: what is there over and over."""
    for i, axis in enumerate(axes):
        if row.shape[axis]:
            row = np.take(row, range(lengths[i % len(lengths)]), axis, mode="wrap")
    return row
