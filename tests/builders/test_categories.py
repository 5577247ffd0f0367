"""Named categories: which can be sent, how a framework gets them, and what its trees see."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from gantline.builders.categories import SCRIPT, Categories, coded, datatype_of, framed, usable, with_unknown

CITIES = ("Bern", "Oslo")
SHOPS = (101, 205)
KNOWN: Categories = {0: CITIES, 2: SHOPS}


def table() -> Any:
    city = pd.Series(["Oslo", np.nan, "Atlantis", "Bern"], dtype=object)
    return pd.DataFrame({"city": city, "age": [1.5, 2, 3, 4], "shop": [205.0, np.nan, 101.0, 7.0]})


@pytest.mark.parametrize(
    ("values", "known", "datatype"),
    [
        (["Bern", "Oslo"], CITIES, "BYTES"),
        (np.array([101, 205]), SHOPS, "FP32"),
        ([0.5, 4.4], (0.5, 4.4), "FP64"),
        ([2**24 + 1], (2**24 + 1,), "FP64"),
        ([True, False], (), ""),
        (["Bern", 5], (), ""),
        ([pd.Timestamp("2024-01-01")], (), ""),
        ([], (), ""),
    ],
)
def test_what_can_be_sent(values: Any, known: tuple[Any, ...], datatype: str) -> None:
    assert usable(values) == known
    assert not known or datatype_of(known) == datatype


def test_one_that_is_unknown() -> None:
    assert with_unknown(CITIES) == ("Bern", "Oslo", "?????") and with_unknown(SHOPS) == (101, 205, 206)


def test_as_frameworks_take_them() -> None:
    found = framed(table(), KNOWN)
    assert found.city.cat.categories.tolist() == ["Bern", "Oslo", "Atlantis"]
    assert found.shop.cat.categories.tolist() == [101, 205, 7] and found.shop.cat.categories.dtype == np.int64
    assert found.city.cat.codes.tolist() == [1, -1, 2, 0] and found.shop.cat.codes.tolist() == [1, -1, 0, 2]
    assert found.age.tolist() == [1.5, 2, 3, 4] and "category" not in map(str, table().dtypes)


def test_as_trees_see_them() -> None:
    np.testing.assert_array_equal(
        coded(table(), KNOWN), [[1, 1.5, 1], [np.nan, 2, np.nan], [np.nan, 3, 0], [0, 4, np.nan]]
    )


def test_a_script_frames_them_alike() -> None:
    module: dict[str, Any] = {"CATEGORIES": {"city": list(CITIES), "shop": list(SHOPS)}}
    exec(SCRIPT, module)  # noqa: S102  # as it stands in a package
    given, wanted = table(), framed(table(), KNOWN)
    for name, values in (("city", given.city.fillna("").tolist()), ("shop", given.shop.to_numpy())):
        assert module["framed"](name, values).tolist() == pd.Categorical(wanted[name]).tolist()
