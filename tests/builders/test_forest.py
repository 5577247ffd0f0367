"""What a forest says of its columns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gantline.builders.forest import LEAF, Forest, Tree

from gantline.errors import BadArtefact


def stump(feature: int, threshold: float) -> Tree:
    return Tree(
        left=np.array([1, LEAF, LEAF]),
        right=np.array([2, LEAF, LEAF]),
        feature=np.array([feature, 0, 0]),
        threshold=np.array([threshold, 0, 0]),
        missing_left=np.array([True, False, False]),
        value=np.array([0.0, 1, 2]),
    )


def test_ranges() -> None:
    chosen = replace(stump(1, 0.0), categories={0: (2, 5)})
    trees = (stump(0, -1.5), stump(0, 3.0), chosen, stump(3, -3.4e38), stump(3, 0.5))
    numbers, codes, unasked, parted = Forest(trees, 4, (0.0,), categorical=(1,)).ranges()
    assert numbers is not None and (numbers.low, numbers.high, numbers.missing) == (-1.5, 3.0, True)
    assert codes is not None and codes.values == tuple(range(7))  # one that it has not met is among them
    assert unasked is not None and unasked.high > unasked.low
    assert parted is not None and parted.low == parted.high == 0.5  # what parts missing values from others is no value


def test_what_pruning_left_is_not_reached() -> None:
    tree = stump(0, 1.0)
    longer = replace(tree, left=np.append(tree.left, 0), right=np.append(tree.right, 0))
    assert sorted(longer.reached()) == sorted(tree.reached()) == [0, 1, 2]


def test_scaled() -> None:
    tree = stump(0, 1.0)
    np.testing.assert_array_equal(tree.scaled(0.5).value, [0.0, 0.5, 1.0])


@pytest.mark.parametrize(
    ("left", "right", "told"),
    [(9, 2, "points outside of it"), (-7, 2, "points outside of it"), (0, 2, "or back"), (1, 0, "or back")],
)
def test_a_tree_that_cannot_be_walked_through(left: int, right: int, told: str) -> None:
    tree = stump(0, 1.0)
    tree.left[0], tree.right[0] = left, right
    with pytest.raises(BadArtefact, match=told):
        Forest((stump(0, 1.0), tree), 1, (0.0,)).check()


def test_a_feature_that_there_is_not() -> None:
    Forest((stump(0, 1.0),), 1, (0.0,)).check()
    with pytest.raises(BadArtefact, match="a feature that there is not"):
        Forest((stump(3, 1.0),), 3, (0.0,)).check()
