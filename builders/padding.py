"""Padding declared for a package, tried: a padded request must get the answer that it gets alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from gantline.accelerators.agreement import compare
from gantline.accelerators.padding import Padding
from gantline.accelerators.session import Session

from gantline.errors import VerificationFailed
from gantline.manifest import Batching
from gantline.tensors import Array

RTOL = 1e-6  # of a padded answer against the unpadded one
LENGTH = 6  # at least, of what is tried


def prove_padding(session: Session, batching: Batching, sample: Mapping[str, Array]) -> None:
    """Run two rows of different lengths alone and padded together. VerificationFailed names the output that differs.

    BadArtefact if the declaration does not fit the model's inputs and outputs.
    """
    padding = Padding(batching, session.signature, f"package '{session.package.name}'")
    long = {name: _longer(a[:1], padding, name) for name, a in sample.items()}
    short = {name: _shorter(a[-1:], long[name], padding, name) for name, a in sample.items()}
    requests = [padding.complete(long), padding.complete(short)]
    alone = [session.run(r) for r in requests]
    together = session.run(padding.stack(requests))
    for i, request in enumerate(requests):
        for name, own, all_ in zip(session.output_names, alone[i], together, strict=True):
            problem = _differs(name, own, padding.cut(name, all_[i : i + 1], request))
            if problem:
                which = "the shorter row" if i else "the longer row"
                raise VerificationFailed(
                    f"package '{session.package.name}': {which}, padded, is answered otherwise than alone: {problem}; "
                    "a mask (--pad-mask) or --unpad may be missing, or the model cannot be padded"
                )


def _differs(name: str, alone: Array, padded: Array) -> str:
    if alone.shape != padded.shape:
        return f"output '{name}' has shape {list(padded.shape)}, alone {list(alone.shape)}"
    return compare(name, alone, padded, 1e-7).breach(RTOL)


def _longer(row: Array, padding: Padding, name: str) -> Array:
    for axis in padding.axes(name):
        copies = -(-LENGTH // max(row.shape[axis], 1))
        row = np.repeat(row, copies, axis) if row.shape[axis] else row
    return row


def _shorter(row: Array, long: Array, padding: Padding, name: str) -> Array:
    row = np.resize(row, long.shape) if row.shape != long.shape else row
    index = [slice(None)] * row.ndim
    for axis in padding.axes(name):
        index[axis] = slice(0, max(long.shape[axis] // 2, 1))
    return row[tuple(index)]
