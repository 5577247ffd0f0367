"""Agreement: how far two answers of one output are apart. Parity, golden replay and tests all use this one formula.

Labels (integers, booleans, strings) are compared exactly; a row in which any differs is one flip.
Floats: relative error of element i of column j is |got - want| / max(|want_ij|, s_j), where s_j is the size that
the column usually has, so that a value that happens to be near zero is not held to more digits than arithmetic has:

- rows that are distributions (two or more columns, none negative, summing to 1): s = 0.01, so that probabilities
  under one per cent are compared absolutely, to rtol * 0.01;
- other matrices: s_j is the root mean square of the reference's column j, but at least NOISE of the whole matrix's,
  below which even float64 arithmetic leaves nothing but rounding;
- any other rank: s is the root mean square of the whole reference. Where all of it is zero, s is 1.

NaN and infinities must be in the same places with the same sign; otherwise both errors are infinite.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gantline.tensors import Array, to_bytes_array

SMALL_PROBABILITY = 0.01
NOISE = 1e-12
_FLOATS = "fcV"  # numpy kinds; bfloat16 of ml_dtypes is V


@dataclass(frozen=True, slots=True)
class Difference:
    """The largest errors of one output, the row that has them, and how many rows have another label."""

    output: str
    rows: int
    max_abs: float = 0.0
    max_rel: float = 0.0
    flips: int = 0
    row: int = -1  # the worst row; -1 when all agree
    detail: str = ""  # that row's values, for a person

    def breach(self, rtol: float, allow_flips: int = 0) -> str:
        """What breaks these limits, in one line; empty when nothing does."""
        if self.flips > allow_flips:
            return (
                f"output '{self.output}': {self.flips} of {self.rows} rows differ, first row {self.row} ({self.detail})"
            )
        if not self.max_rel <= rtol:
            return (
                f"output '{self.output}': relative error {self.max_rel:.3g} (absolute {self.max_abs:.3g}) "
                f"in row {self.row} is over {rtol:g} ({self.detail})"
            )
        return ""


def compare(output: str, want: Array, got: Array, atol: float = 0.0) -> Difference:
    """How `got` differs from `want`. `atol` is an absolute error that is forgiven. Shapes that differ: infinitely."""
    rows = len(want) if want.ndim else 1
    if want.shape != got.shape:
        shapes = f"shape {list(want.shape)} expected, got {list(got.shape)}"
        return Difference(output, rows, np.inf, np.inf, rows, 0, shapes)
    if not want.size:
        return Difference(output, rows)
    if is_float(want) and is_float(got):
        return _floats(output, want, got, atol)
    return _labels(output, want, got)


def is_float(array: Array) -> bool:
    """Whether an array is compared by error, not exactly."""
    return array.dtype.kind in _FLOATS


def scale(want: Array) -> Array:
    """The usual size s of each column of a reference (see the module), to be broadcast over its rows; never zero."""
    wide = np.where(np.isfinite(want), want, 0.0)
    whole = float(np.sqrt(np.mean(np.square(wide))))
    if want.ndim != 2 or not whole:
        return np.asarray(whole or 1.0)
    if _distribution(want):
        return np.asarray(SMALL_PROBABILITY)
    columns = np.sqrt(np.mean(np.square(wide), axis=0))
    return np.asarray(np.maximum(columns, NOISE * whole))


def _distribution(want: Array) -> bool:
    if want.shape[1] < 2 or not np.isfinite(want).all():
        return False
    return bool(want.min() >= -1e-6 and np.abs(want.sum(axis=1) - 1.0).max() < 1e-3)


def _floats(output: str, want: Array, got: Array, atol: float) -> Difference:
    a, b = want.astype(np.float64), got.astype(np.float64)
    finite = np.isfinite(a) & np.isfinite(b)
    same = np.array_equal(a[~finite], b[~finite], equal_nan=True)
    error = np.abs(np.where(finite, b, 0.0) - np.where(finite, a, 0.0))
    relative = np.maximum(error - atol, 0.0) / np.maximum(np.abs(np.where(finite, a, 0.0)), scale(a))
    if not same:
        unlike = ~finite & ~((a == b) | (np.isnan(a) & np.isnan(b)))
        error, relative = np.where(unlike, np.inf, error), np.where(unlike, np.inf, relative)
    worst = int(np.argmax(relative)) if relative.max() > 0 else int(np.argmax(error))
    if not error.flat[worst]:
        return Difference(output, len(want) if want.ndim else 1)
    place = np.unravel_index(worst, want.shape) if want.ndim else ()
    detail = f"expected {a[place]:.7g}, got {b[place]:.7g}"
    row = int(place[0]) if place else 0
    return Difference(output, len(want) if want.ndim else 1, float(error.max()), float(relative.max()), 0, row, detail)


def _labels(output: str, want: Array, got: Array) -> Difference:
    a, b = _plain(want), _plain(got)
    rows = len(a) if a.ndim else 1
    unlike = np.asarray(a != b).reshape(rows, -1).any(axis=1)
    if not unlike.any():
        return Difference(output, rows)
    row = int(np.argmax(unlike))
    one, two = (np.asarray(x).reshape(rows, -1)[row].tolist() for x in (a, b))
    return Difference(output, rows, 0.0, 0.0, int(unlike.sum()), row, f"expected {_short(one)}, got {_short(two)}")


def _plain(array: Array) -> Array:
    return to_bytes_array(array) if array.dtype.kind in "USOT" else array


def _short(values: list[object]) -> str:
    shown = [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in values[:4]]
    return str(shown[0]) if len(values) == 1 else str(shown)
