"""One column's range, and values drawn from it."""

from __future__ import annotations

import numpy as np
from gantline.builders.ranges import Range, cast, column, joined


def test_joined_is_the_wider() -> None:
    assert joined(None, None) is None and joined(Range(1, 2), None) == Range(1, 2)
    assert joined(Range(1, 2), Range(0, 1.5)) == Range(0, 2)
    assert joined(Range(0, 1), Range(values=("a",))) == Range(values=("a",))
    assert joined(Range(0, 1, missing=True), Range(0, 1)) == Range(0, 1, missing=True)


def test_numbers_stay_within_the_margin() -> None:
    drawn = column(Range(10, 20), 500, np.random.default_rng(0), 0)
    assert drawn.min() >= 9.5 and drawn.max() <= 20.5 and drawn.std() > 2
    assert np.isnan(column(Range(0, 1, missing=True), 70, np.random.default_rng(0), 0)).sum() == 10
    point = column(Range(5, 5), 50, np.random.default_rng(0), 0)
    assert point.min() >= 4.75 and point.max() <= 5.25 and point.std() > 0


def test_categories_words_and_nothing_known() -> None:
    random = np.random.default_rng(0)
    assert set(column(Range(values=("a", "b")), 50, random, 0)) == {"a", "b"}
    assert all(len(t.split()) == 8 for t in column(Range(words=("x", "y")), 5, random, 0))
    assert abs(column(None, 2000, random, 0).std() - 1) < 0.1


def test_cast_to_datatypes() -> None:
    assert cast(np.array(["é"], object), "BYTES").tolist() == ["é".encode()]
    assert cast(np.array([3, 1], object), "INT64").dtype == np.int64
    assert cast(np.array([0.5]), "FP32").dtype == np.float32
