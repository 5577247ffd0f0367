"""Which converter takes what, and what is said of a source that none takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from gantline.builders import from_onnx, from_sklearn
from gantline.builders.source import SOURCES, Source, converter_for

from gantline.errors import BadArtefact


def test_by_name_and_by_kind() -> None:
    from sklearn.linear_model import Ridge

    assert converter_for(Source("m", path=Path("a/m.ONNX"))) is from_onnx
    assert converter_for(Source("m", path=Path("m.skops"))) is from_sklearn
    assert converter_for(Source("m", object=Ridge())) is from_sklearn
    order = list(SOURCES)
    assert order.index("keras") < order.index("torch"), "a Keras model whose backend is torch is a torch module, too"
    assert order[-1] == "script", "any directory with a score.py is one, if nobody knows better"


@pytest.mark.parametrize("name", ["picture.png", "folder", "gone.dat", "table.csv"])
def test_what_nobody_takes_is_described(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
    elif name == "picture.png":
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20))
    elif name == "table.csv":
        path.write_text("a,b\n1,2\n")
    told = {
        "picture.png": "found a PNG image",
        "folder": "a directory without a score.py",
        "gone.dat": "no such file",
        "table.csv": "found text",
    }[name]
    with pytest.raises(BadArtefact) as caught:
        converter_for(Source("m", path=path))
    assert str(path) in caught.value.message and told in caught.value.message


def test_objects_of_other_kinds() -> None:
    with pytest.raises(BadArtefact, match=r"builtins\.dict: expected a fitted scikit-learn estimator"):
        converter_for(Source("m", object={"a": 1}))
