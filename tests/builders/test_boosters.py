"""What is a booster, told by where its class comes from; and what is said where the framework is missing."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from gantline.builders import boosters
from gantline.builders.source import Source, converter_for

from gantline.errors import Unsupported


def test_what_is_no_booster() -> None:
    from sklearn.ensemble import GradientBoostingRegressor

    model = GradientBoostingRegressor(n_estimators=2).fit([[0.0], [1.0]], [0, 1])
    assert boosters.framework_of(model) == "" and boosters.forest_in(model) is None
    assert boosters.boosted_ranges(model, 1) is None and boosters.versions_in(model) == {}


@pytest.mark.parametrize(
    ("name", "content", "framework"),
    [
        ("m.ubj", b"{L", "xgboost"),
        ("m.json", b'{"learner":{}}', "xgboost"),
        ("m.txt", b"tree\nversion=v4\n", "lightgbm"),
        ("m.cbm", b"CBM1", "catboost"),
    ],
)
def test_a_file_whose_framework_is_missing(tmp_path: Path, name: str, content: bytes, framework: str) -> None:
    if find_spec(framework):
        pytest.skip(f"{framework} is here")
    path = tmp_path / name
    path.write_bytes(content)
    source = Source("m", path=path)
    with pytest.raises(Unsupported, match=rf"{name}: reading it needs \w+: pip install {framework}$"):
        converter_for(source).convert(source, tmp_path)
