"""Parity: the source model against the packaged one, on the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from gantline.accelerators.agreement import Difference, compare

from gantline.errors import VerificationFailed
from gantline.manifest import Parity
from gantline.tensors import Array

from .source import Limits, Predict

BLOCK_BYTES = 16 << 20  # of inputs that are run at once
BLOCK_ROWS = 8192
DEFAULT = Limits()
PROBES = "near-threshold"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Rows to compare on. `kind` is `given`, `synthetic`, or `near-threshold`: next to the thresholds of trees."""

    kind: str
    inputs: dict[str, Array]

    @property
    def rows(self) -> int:
        first = next(iter(self.inputs.values()), None)
        return len(first) if first is not None and first.ndim else 1


@dataclass(frozen=True, slots=True)
class Measured:
    """What a comparison found, before anybody judges it."""

    kind: str
    rows: int
    differences: tuple[Difference, ...]

    def breach(self, limits: Limits) -> str:
        """The first output that breaks the limits, and how; empty when all hold."""
        for d in self.differences:
            problem = d.breach(limits.rtol, limits.flips)
            if problem:
                return f"{problem}, on {self.rows} {self.kind} rows"
        return ""


def measure(reference: Predict, packaged: Predict, outputs: Sequence[str], evidence: Evidence, stack: bool) -> Measured:
    """Run both on the evidence and compare each output. `stack`: rows are independent and are run in blocks."""
    size = block_of(evidence.inputs) if stack else max(evidence.rows, 1)
    want, got = in_blocks(reference, evidence.inputs, size), in_blocks(packaged, evidence.inputs, size)
    if len(want) != len(outputs) or len(got) != len(outputs):
        raise VerificationFailed(
            f"the source answers {len(want)} outputs, the packaged model {len(got)}; the signature has {list(outputs)}"
        )
    found = [compare(name, a, b) for name, a, b in zip(outputs, want, got, strict=True)]
    return Measured(evidence.kind, evidence.rows, tuple(found))


def block_of(inputs: Mapping[str, Array]) -> int:
    """How many rows of these inputs are run at once, so that neither many rows nor large ones fill the memory."""
    width = sum(a.nbytes // max(len(a), 1) for a in inputs.values() if a.ndim)
    return max(1, min(BLOCK_ROWS, BLOCK_BYTES // max(width, 1)))


def in_blocks(run: Predict, inputs: Mapping[str, Array], size: int) -> list[Array]:
    """Run `size` rows at a time and join the answers."""
    first = next(iter(inputs.values()), None)
    count = len(first) if first is not None and first.ndim else 1
    if count <= size:
        return run(inputs)
    parts = [run({n: a[at : at + size] for n, a in inputs.items()}) for at in range(0, count, size)]
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def judge(found: Sequence[Measured], limits: Limits, what: str) -> Parity:
    """One report of all that was measured. VerificationFailed names output, error and row of the first breach."""
    for one in found:
        problem = one.breach(limits)
        if problem:
            raise VerificationFailed(
                f"{what}: the packaged model does not agree with its source: {problem}; "
                "if that is good enough, say so with --rtol or --allow-flips"
            )
    return report(found, limits)


def report(found: Sequence[Measured], limits: Limits) -> Parity:
    """The numbers for the manifest: the worst over all evidence; rows of the sample and probes are counted apart."""
    sample = [m for m in found if m.kind != PROBES]
    outputs: dict[str, dict[str, float]] = {}
    for d in (d for m in found for d in m.differences):
        one = outputs.setdefault(d.output, {"max_abs_error": 0.0, "max_rel_error": 0.0, "label_flips": 0.0})
        one["max_abs_error"] = max(one["max_abs_error"], d.max_abs)
        one["max_rel_error"] = max(one["max_rel_error"], d.max_rel)
        one["label_flips"] += d.flips
    return Parity(
        sample=sample[0].kind,
        rows=sum(m.rows for m in sample),
        max_abs_error=max((o["max_abs_error"] for o in outputs.values()), default=0.0),
        max_rel_error=max((o["max_rel_error"] for o in outputs.values()), default=0.0),
        label_flips=int(sum(o["label_flips"] for o in outputs.values())),
        near_threshold_probes=sum(m.rows for m in found if m.kind == PROBES),
        limits={"rtol": limits.rtol, "label_flips": float(limits.flips)},
        loosened=loosened(limits),
        outputs=outputs,
    )


def loosened(limits: Limits) -> tuple[str, ...]:
    """Which limits are wider than the default, as the manifest and `inspect` say it."""
    out = []
    if limits.rtol > DEFAULT.rtol:
        out.append(f"rtol {DEFAULT.rtol:g} -> {limits.rtol:g}")
    if limits.flips > DEFAULT.flips:
        out.append(f"label flips {DEFAULT.flips} -> {limits.flips}")
    return tuple(out)
