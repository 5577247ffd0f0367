"""Width: whether an estimator's inputs may be rounded to float32, or its answers hang on what that takes away.

A scaler fitted on Unix times, or a boosted tree whose thresholds are data points, answers a rounded row differently.
Comparing source and package on rows that are rounded already would not show it: so the source is compared with itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from gantline.tensors import Array

from .parity import Evidence, measure
from .sklearn_layout import Layout
from .source import Limits, Predict

Rows = Callable[[Layout], dict[str, Array]]


def wide_enough(
    layout: Layout, rows: Rows, reference: Callable[[Layout], Predict], outputs: list[str], kind: str, limits: Limits
) -> tuple[Layout, tuple[str, ...]]:
    """The layout, with FP64 for the inputs that lose something by rounding if the answers leave the limits by it.

    `rows` and `reference` give rows and the source model under a layout; `kind` is the evidence's. With a note on it.
    """
    narrow = [t.name for t in layout.inputs if t.datatype == "FP32"]
    given = rows(_widened(layout, narrow)) if narrow else {}
    losing = [n for n in narrow if not np.array_equal(_rounded(given[n]), given[n], equal_nan=True)]
    if not losing:
        return layout, ()
    wide = _widened(layout, losing)
    predict = reference(wide)

    def rounded(inputs: dict[str, Array]) -> list[Array]:
        return predict({n: _rounded(a) if n in losing else a for n, a in inputs.items()})

    found = measure(predict, rounded, outputs, Evidence(kind, given), True)  # type: ignore[arg-type]
    problem = found.breach(limits)
    if not problem:
        return layout, ()
    return wide, (f"inputs are FP64: rounded to float32 the source itself answers differently ({problem})",)


def _widened(layout: Layout, names: list[str]) -> Layout:
    return replace(layout, inputs=tuple(replace(t, datatype="FP64") if t.name in names else t for t in layout.inputs))


def _rounded(values: Array) -> Array:
    with np.errstate(over="ignore"):
        return values.astype(np.float32).astype(np.float64)
