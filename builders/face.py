"""Face: a booster alone, in whichever of its forms, as what the ways of scikit-learn estimators can be gone with."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from gantline.errors import Unsupported
from gantline.tensors import Array

from .categories import Categories, coded, datatype_of, framed, with_unknown
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
    categories: Categories = field(default_factory=dict)  # of columns whose codes have names
    refuses: bool = False  # a category that the model was not trained on is an error
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
        out = [Range(values=TEXTS) if at in texts else one for at, one in enumerate(known)]
        for at, values in self.categories.items():
            out[at] = Range(values=values if self.refuses else with_unknown(values))
        return out

    def matrix(self, table: Any) -> Array:
        """A table as the trees see it."""
        return coded(table, self.categories) if self.categories else np.asarray(table)

    def holed(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """`with_holes`; a category is missing and never zero, which may be no category."""
        return with_holes(inputs, {self.names[at] for at in self.categories})


def on_codes(names: Sequence[str], columns: Sequence[int]) -> tuple[str, ...]:
    """What a user must know of columns that are categories."""
    shown = ", ".join(f"'{names[c]}'" if names else str(c) for c in columns)
    return (f"columns {shown} take codes of categories, as the model was trained on, not their names",) if shown else ()


def with_holes(inputs: Mapping[str, Array], categories: Collection[str] = ()) -> dict[str, Array]:
    """Rows whose columns are in turn missing and zero, the two numbers that boosters treat apart."""
    out = {}
    for at, (name, array) in enumerate(inputs.items()):
        out[name] = array[:HOLED].copy()
        if array.dtype.kind == "f" and array.ndim == 2:
            rows = np.arange(len(out[name]))
            place = rows // 2 + at
            if array.shape[1] == 1:
                rows, place = rows[place % len(inputs) == 0], np.array(0)
            holes = np.nan if name in categories else np.where(rows % 2, 0.0, np.nan)
            out[name][rows, place % array.shape[1]] = holes
    return out


def given(table: Any, categories: Categories) -> Any:
    """A table as the framework takes it: an array of numbers, or a data frame where categories have names."""
    return framed(table, categories) if categories else np.asarray(table, np.float64)


def kinds_of(categories: Categories) -> tuple[tuple[int, str], ...]:
    """The datatypes that categories come in."""
    return tuple((at, datatype_of(known)) for at, known in categories.items())
