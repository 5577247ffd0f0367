"""What a booster's face adds to rows and to a package's notes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gantline.builders.face import TEXTS, Face, on_codes, with_holes
from gantline.builders.forest import Forest

from gantline.errors import Unsupported


def test_holes_in_every_column() -> None:
    given = np.ones((40, 3), np.float32)
    found = with_holes({"X": given, "city": np.full((40, 1), b"Oslo", object)})
    assert np.isnan(found["X"]).any(axis=0).all() and (found["X"] == 0).any(axis=0).all()
    assert not np.isnan(given).any() and (found["city"] == b"Oslo").all()


def test_holes_in_columns_of_their_own() -> None:
    """Some rows of each, so that the others are seen with it; a category is missing and never zero."""
    ones = np.ones((40, 1), np.float32)
    face = Face("lightgbm", "Booster", 2, len, lambda: Forest((), 2, ()), Path.touch, "m.txt", "")
    face.names, face.categories = ("age", "shop"), {1: (1, 2)}
    found = face.holed({"age": ones, "shop": ones})
    age, shop = found["age"][:, 0], found["shop"][:, 0]
    assert np.isnan(age).sum() == 10 and (age == 0).sum() == 10
    assert np.isnan(shop).sum() == 20 and not (shop == 0).any() and not (np.isnan(age) & np.isnan(shop)).any()


def test_codes() -> None:
    assert on_codes((), (1, 2)) == (
        "columns 1, 2 take codes of categories, as the model was trained on, not their names",
    )
    assert "'city'" in on_codes(("age", "city"), (1,))[0] and on_codes(("age",), ()) == ()


def test_a_forest_that_cannot_be_read_is_tried_once() -> None:
    tries = []

    def read() -> Forest:
        tries.append(1)
        raise Unsupported("it is linear")

    face = Face("xgboost", "Booster", 2, len, read, Path.touch, "m.ubj", "", kinds=((1, "BYTES"),))
    for _ in range(2):
        with pytest.raises(Unsupported, match="it is linear"):
            face.forest()
    number, text = face.ranges()
    assert len(tries) == 1 and number is None and text is not None and text.values == TEXTS
