"""Range: what is known of one column of a model's input, and numbers or text drawn from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gantline.tensors import Array, numpy_dtype, to_bytes_array

SEED = 20240229
MARGIN = 0.05  # of a range, added at both ends
WORDS = 8  # in a document made up of a vocabulary
# between and beside them in every other document, as people write: tokenizers differ there
_BETWEEN = (", ", ". ", " ", " - ", "\n", "/", "'", "  ", "! ")
_BESIDE = ("I", "a", "x1", "naïve", "ÅNGSTRÖM", "漢字", "don't", "e-mail", "3.5", "_", "Привет")


@dataclass(frozen=True, slots=True)
class Range:
    """One column: numbers from `low` to `high`, or one of `values`. `missing`: NaN occurs too."""

    low: float = 0.0
    high: float = 0.0
    values: tuple[Any, ...] = ()
    missing: bool = False
    words: tuple[str, ...] = ()


Ranges = list[Range | None]


def joined(a: Range | None, b: Range | None) -> Range | None:
    """What is known from two sides: the wider range, or either's values."""
    if a is None or b is None:
        return a or b
    if a.values or b.values or a.words or b.words:
        return a if a.values or a.words else b
    return Range(min(a.low, b.low), max(a.high, b.high), (), a.missing or b.missing)


def column(known: Range | None, rows: int, random: np.random.Generator, at: int) -> Array:
    """So many values of column number `at`; standard normal where nothing is known."""
    if known is None:
        return random.standard_normal(rows)
    if known.words:
        picks = random.integers(0, len(known.words), (rows, WORDS))
        return np.array([_written([known.words[i] for i in row], at) for at, row in enumerate(picks)], object)
    if known.values:
        return np.array([known.values[i] for i in random.integers(0, len(known.values), rows)], object)
    wide = (known.high - known.low) or abs(known.low) or 1.0
    out = random.uniform(known.low - MARGIN * wide, known.high + MARGIN * wide, rows)
    if known.missing:
        out[(np.arange(rows) + at) % 7 == 3] = np.nan
    return out


def _written(words: list[str], at: int) -> str:
    """A document of these words: plainly, or, every other time, as somebody might write it."""
    if at % 2 == 0:
        return " ".join(words)
    cased = [w.title() if i == 0 else w.upper() if i == at % len(words) else w for i, w in enumerate(words)]
    cased[-1] = cased[-1].replace(" ", " a ")  # inside several words that count together
    cased.insert(at % len(cased), _BESIDE[at // 2 % len(_BESIDE)])
    return "".join(w + _BETWEEN[(at + i) % len(_BETWEEN)] for i, w in enumerate(cased))


def cast(values: Array, datatype: str) -> Array:
    """Values as a V2 datatype."""
    return to_bytes_array(values) if datatype == "BYTES" else values.astype(numpy_dtype(datatype))
