"""Forest: what a gradient booster has learnt, the same for XGBoost, LightGBM and CatBoost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from gantline.errors import BadArtefact
from gantline.tensors import Array

from .ranges import Range, Ranges

BEYOND = 1  # the largest known category: one that the model has not met
ZERO = float(np.float32(1e-35))  # LightGBM's kZeroThreshold: what is nearer to zero is zero
HUGE = 1e38  # a threshold that parts missing values from all others
LEAF = -1  # child of a leaf


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree: arrays by node, the root first. A node whose `left` is LEAF is a leaf, worth `value`.

    A row goes left where its feature is <= `threshold` (< where `strict`), or where its category is in `categories`
    of the node, for nodes that are there; a missing value goes left where `missing_left`.
    """

    left: Array
    right: Array
    feature: Array
    threshold: Array
    missing_left: Array
    value: Array
    output: int = 0
    categories: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def reached(self) -> Iterator[int]:
        """The nodes that can be reached, parents first: pruning leaves others in the arrays.

        BadArtefact: one outside the arrays, or one that leads back to where it came from.
        """
        stack, count = [0], 0
        while stack:
            node = stack.pop()
            count += 1
            if not 0 <= node < len(self.left) or count > len(self.left):
                raise BadArtefact("a tree's node points outside of it, or back")
            yield node
            if self.left[node] != LEAF:
                stack += [int(self.right[node]), int(self.left[node])]

    def scaled(self, by: float) -> Tree:
        """The same splits with other leaves."""
        return replace(self, value=self.value * by)


@dataclass(frozen=True, slots=True)
class Forest:
    """Trees, and what is done before and after them.

    margin[:, i] = base[i] + the sum of the trees whose output is i; the answer is link(margin).
    """

    trees: tuple[Tree, ...]
    width: int  # features
    base: tuple[float, ...]  # one for each output
    strict: bool = False  # < instead of <=
    narrow: bool = False  # features are rounded to float32 first
    link: str = "identity"  # a key of forest_onnx.LINKS
    steepness: float = 1.0  # of the sigmoid
    sentinel: float | None = None  # a number that means missing, beside NaN
    zero_is_missing: bool = False
    categorical: tuple[int, ...] = ()  # features that are codes of categories; what is after the point is cut off
    missing: bool = True  # whether missing values are taken at all
    labels: str = "largest"  # of a classifier: the `largest` output's, by the `margin`'s sign, or one for `each` output

    @property
    def outputs(self) -> int:
        return len(self.base)

    def check(self) -> None:
        """BadArtefact: a tree that cannot be walked through, or that asks for a feature that there is not."""
        for tree in self.trees:
            nodes = np.fromiter(tree.reached(), np.int64)
            asked = tree.feature[nodes[tree.left[nodes] != LEAF]]
            if ((asked < 0) | (asked >= self.width)).any():
                raise BadArtefact("a tree's node asks for a feature that there is not")

    def ranges(self) -> Ranges:
        """What the thresholds and categories tell of each feature."""
        lows, highs = np.full(self.width, np.inf), np.full(self.width, -np.inf)
        codes: dict[int, int] = {}
        for tree in self.trees:
            inner = np.array([n for n in tree.reached() if tree.left[n] != LEAF], np.int64)
            whole = np.abs(tree.threshold[inner]) < HUGE
            plain = inner[whole & np.array([n not in tree.categories for n in inner.tolist()], bool)]
            np.minimum.at(lows, tree.feature[plain], tree.threshold[plain])
            np.maximum.at(highs, tree.feature[plain], tree.threshold[plain])
            for node, known in tree.categories.items():
                feature = int(tree.feature[node])
                codes[feature] = max(codes.get(feature, 0), *known, 0)
        out: Ranges = []
        for at in range(self.width):
            if at in self.categorical:
                out.append(Range(values=tuple(range(codes.get(at, 0) + 1 + BEYOND))))
            else:
                asked = bool(np.isfinite(lows[at]))
                low, high = (float(lows[at]), float(highs[at])) if asked else (0.0, 1.0)  # it makes no difference
                out.append(Range(low, high, (), self.missing))
        return out
