"""The one formula for how far two answers are apart."""

from __future__ import annotations

import numpy as np
import pytest
from gantline.accelerators.agreement import SMALL_PROBABILITY, compare, scale

from gantline.tensors import Array


def column(*values: float) -> Array:
    return np.array(values, np.float64).reshape(-1, 1)


def test_equal_is_zero() -> None:
    found = compare("y", column(1, 2, 3), column(1, 2, 3))
    assert (found.rows, found.max_abs, found.max_rel, found.flips, found.row) == (3, 0.0, 0.0, 0, -1)
    assert found.breach(0.0) == ""


def test_relative_to_the_value_where_it_is_large() -> None:
    found = compare("y", column(1, 1, 1, 1000), column(1, 1, 1, 1001))
    assert found.max_rel == pytest.approx(1e-3) and found.max_abs == pytest.approx(1.0) and found.row == 3


def test_relative_to_the_columns_size_near_zero() -> None:
    """A value of 1e-9 in a column of ones is not held to nine more digits than its neighbours."""
    found = compare("y", column(1, -1, 1e-9), column(1, -1, 2e-6))
    assert found.max_rel == pytest.approx(2e-6 / np.sqrt(2 / 3), rel=1e-3)
    assert found.breach(1e-4) == ""


def test_columns_are_judged_apart() -> None:
    """An error that is nothing beside the big column is everything in the small one."""
    want = np.array([[1e6, 1e-3], [2e6, -1e-3], [3e6, 2e-3]])
    got = want + np.array([0.0, 1e-4])
    assert compare("y", want, got).max_rel > 0.05


def test_probabilities_under_one_per_cent_are_absolute() -> None:
    want = np.array([[1 - 1e-7, 1e-7], [1 - 2e-7, 2e-7]])
    got = want + np.array([[-1e-7, 1e-7]])
    assert float(scale(want)) == SMALL_PROBABILITY
    assert compare("p", want, got).max_rel == pytest.approx(1e-5)
    assert compare("p", want, want + np.array([[-1e-4, 1e-4]])).breach(1e-4)


def test_a_constant_zero_column_has_a_scale() -> None:
    want = np.array([[0.0, 1.0], [0.0, 2.0]])
    assert compare("y", want, want + np.array([1e-17, 0.0])).max_rel < 1e-4
    assert compare("y", want, want + np.array([1e-9, 0.0])).breach(1e-4)
    zeros = np.zeros((3, 1))
    assert compare("y", zeros, zeros + 1e-5).max_rel == pytest.approx(1e-5)


def test_other_ranks_have_one_scale() -> None:
    want = np.ones((2, 3, 4, 4))
    got = want.copy()
    got[1, 2, 0, 0] += 0.5
    found = compare("y", want, got)
    assert found.row == 1 and found.max_rel == pytest.approx(0.5)
    assert compare("y", np.float64(2.0) * np.ones(()), np.ones(())).max_rel == pytest.approx(0.5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_must_be_the_same(bad: float) -> None:
    assert compare("y", column(1, bad), column(1, bad)).max_rel == 0
    assert compare("y", column(1, bad), column(1, 2)).max_rel == np.inf
    assert compare("y", column(1, 2), column(1, bad)).row == 1
    if bad == np.inf:
        assert compare("y", column(1, bad), column(1, -bad)).breach(1.0)


def test_labels_are_exact_and_counted_by_rows() -> None:
    found = compare("label", np.array([1, 2, 3, 4]), np.array([1, 0, 3, 0]))
    assert (found.flips, found.row, found.detail) == (2, 1, "expected 2, got 0")
    assert compare("m", np.array([[1, 2], [3, 4]]), np.array([[1, 2], [9, 9]])).flips == 1
    assert found.breach(1e-4).startswith("output 'label': 2 of 4 rows differ, first row 1")
    assert found.breach(1e-4, allow_flips=2) == ""


def test_text_is_compared_whatever_its_spelling() -> None:
    want = np.array(["a", "é"], object)
    assert compare("label", want, np.array([b"a", "é".encode()], object)).flips == 0
    assert compare("label", want, np.array([b"a", b"e"], object)).detail == "expected é, got e"


def test_integers_of_another_width_are_the_same_label() -> None:
    assert compare("label", np.array([1, 0], np.int64), np.array([1, 0], np.int32)).flips == 0
    assert compare("label", np.array([True, False]), np.array([1, 0])).flips == 0


def test_another_shape_is_a_breach_that_names_both() -> None:
    found = compare("y", np.ones((3, 2)), np.ones((3, 3)))
    assert "shape [3, 2] expected, got [3, 3]" in found.breach(1.0)


def test_forgiven_absolute_error() -> None:
    assert compare("y", column(1, 2), column(1.001, 2), atol=0.01).max_rel == 0
    assert compare("y", np.empty((0, 3)), np.empty((0, 3))).breach(0.0) == ""


def test_bfloat16_is_a_float() -> None:
    import ml_dtypes

    want = np.array([[1.0], [2.0]], ml_dtypes.bfloat16)
    assert compare("y", want, np.array([[1.0], [2.5]], ml_dtypes.bfloat16)).max_rel == pytest.approx(0.25)
