"""Face: a booster alone, in whichever of its forms, as what the ways of scikit-learn estimators can be gone with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from gantline.errors import Unsupported
from gantline.tensors import Array

from .forest import Forest
from .ranges import Range, Ranges

Method: TypeAlias = Callable[[Any], Any]  # a table of rows -> answers, by the framework itself
HOLED = 512  # rows
TEXTS = ("a", "b", "")  # made up for categories whose names a model does not keep


@dataclass(slots=True)
class Face:
    """What a converter knows of one model. `forest` raises Unsupported where no ONNX tree can say it.

    `values` answers one number or row of numbers for each row, `labels` (of classifiers) their classes.
    """

    framework: str
    type: str
    width: int
    values: Method
    read: Callable[[], Forest]
    save: Callable[[Path], Any]  # write the framework's own file
    saved_as: str  # its name
    script: str  # how a script loads it and answers: `load(path)` and `answers(model, table)`
    facts: dict[str, Any] = field(default_factory=dict)  # constants of that script
    names: tuple[str, ...] = ()  # of the features, where they have been given
    labels: Method | None = None
    classes: Array | None = None
    kinds: tuple[tuple[int, str], ...] = ()  # columns that are no numbers
    needs: tuple[str, ...] = ()  # distributions, beside the framework's own and numpy
    notes: tuple[str, ...] = ()
    _forest: Forest | Unsupported | None = None

    def forest(self) -> Forest:
        """The trees, read once."""
        if self._forest is None:
            try:
                self._forest = self.read()
            except Unsupported as e:
                self._forest = e
        if isinstance(self._forest, Unsupported):
            raise self._forest
        return self._forest

    def ranges(self) -> Ranges:
        """What is known of each column."""
        texts = {at for at, kind in self.kinds if kind == "BYTES"}
        try:
            known = self.forest().ranges()
        except Unsupported:
            known = [None] * self.width
        return [Range(values=TEXTS) if at in texts else one for at, one in enumerate(known)]


def on_codes(names: Sequence[str], columns: Sequence[int]) -> tuple[str, ...]:
    """What a user must know of columns that are categories."""
    shown = ", ".join(f"'{names[c]}'" if names else str(c) for c in columns)
    return (f"columns {shown} take codes of categories, as the model was trained on, not their names",) if shown else ()


def with_holes(inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Rows whose columns are in turn missing and zero, the two numbers that boosters treat apart."""
    out = {}
    for at, (name, array) in enumerate(inputs.items()):
        out[name] = array[:HOLED].copy()
        if array.dtype.kind == "f" and array.ndim == 2:
            rows = np.arange(len(out[name]))
            out[name][rows, (rows // 2 + at) % array.shape[1]] = np.where(rows % 2, 0.0, np.nan)
    return out


def array_of(table: Any) -> Array:
    """A table of numbers as an array, whatever it was."""
    return np.asarray(table, np.float64)
