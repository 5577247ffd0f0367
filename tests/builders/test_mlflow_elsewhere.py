"""What of a recorded environment is asked for, and for which files. Real boosters are converted in conformance/."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gantline.builders import from_lightgbm, from_pickle, from_xgboost, mlflow_elsewhere
from gantline.builders.mlflow_elsewhere import convert, is_elsewhere, with_recorded
from gantline.builders.mlflow_model import FILE, MlflowModel, read_model
from gantline.builders.source import Source

from gantline.errors import Unavailable, UsageError
from gantline.manifest import EnvironmentRequest

from .mlflow_folder import mlmodel, pyfunc

RECORDED = """mlflow==3.17.2
mlflow-skinny[extra]>=3
xgboost==3.2.0
scikit_learn == 1.9.1
evil @ https://example.com/evil.tar.gz
--index-url https://example.com/simple
xgboost-evil==1
"""


@pytest.fixture
def model(tmp_path: Path) -> MlflowModel:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / FILE).write_text(mlmodel({"xgboost": {"data": "model.ubj"}, "python_function": pyfunc()}))
    (folder / "requirements.txt").write_text(RECORDED)
    return read_model(folder)


def test_which_files_go_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    there: dict[str, Any] = {"lightgbm": None, "xgboost": object()}
    monkeypatch.setattr(mlflow_elsewhere, "find_spec", there.get)
    own, other = Source("m", Path("model.ubj")), Source("m", Path("model.ubj"), environment=Path("r.txt"))
    assert not is_elsewhere("xgboost", from_xgboost, own), "it is here"
    assert is_elsewhere("xgboost", from_xgboost, other), "--env names one"
    assert not is_elsewhere("xgboost", from_xgboost, Source("m", Path("m.ubj"), environment=Path("current")))
    assert is_elsewhere("lightgbm", from_lightgbm, Source("m", Path("model.txt")))
    assert not is_elsewhere("lightgbm", from_pickle, Source("m", Path("model.pkl"))), "the pickle's own way"
    assert not is_elsewhere("sklearn", from_pickle, Source("m", Path("model.pkl")))


def test_nothing_is_installed_but_what_converts(
    model: MlflowModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[EnvironmentRequest] = []

    def refuses(request: EnvironmentRequest) -> None:
        asked.append(request)
        raise Unavailable("no network")

    monkeypatch.setattr(mlflow_elsewhere, "prepare", refuses)
    source = Source("m", model.root / "model.ubj")
    with pytest.raises(Unavailable, match=r"XGBoost is not here, and no environment .*no network.*pip install xgboost"):
        convert(model, "xgboost", source, tmp_path)
    lines = asked[0].requirements
    assert lines[:2] == ("xgboost==3.2.0", "scikit_learn == 1.9.1") and asked[0].python == ""
    assert {"onnx", "skl2onnx", "numpy"} < set(lines) and not any("evil" in x or "-index" in x for x in lines)
    with pytest.raises(UsageError, match=r"needs LightGBM, whose version is not recorded .*--env"):
        convert(model, "lightgbm", source, tmp_path)
    (tmp_path / "own.txt").write_text("lightgbm==4.7.0\n")
    named = Source("m", model.root / "model.txt", environment=tmp_path / "own.txt")
    with pytest.raises(Unavailable):
        convert(model, "lightgbm", named, tmp_path)
    assert asked[1].requirements[0] == "lightgbm==4.7.0"


class Other:
    """Of a module that scikit-learn does not have."""


def test_a_pickle_gets_what_was_recorded_only_where_it_needs_it(model: MlflowModel, tmp_path: Path) -> None:
    foreign, plain = tmp_path / "foreign.pkl", tmp_path / "plain.pkl"
    foreign.write_bytes(pickle.dumps(Other()))
    plain.write_bytes(pickle.dumps(np.zeros(2)))
    found = with_recorded(model, Source("m", foreign, trust_pickle=True), tmp_path)
    assert found.environment is not None
    text = found.environment.read_text()
    assert "xgboost==3.2.0\n" in text and "mlflow" not in text
    for source in (
        Source("m", foreign), Source("m", plain, trust_pickle=True),
        Source("m", tmp_path / "m.onnx", trust_pickle=True),
        Source("m", foreign, trust_pickle=True, environment=Path("current")),
    ):  # fmt: skip
        assert with_recorded(model, source, tmp_path) is source
    (model.root / "requirements.txt").write_text("mlflow==3.17.2\n")
    assert with_recorded(model, Source("m", foreign, trust_pickle=True), tmp_path).environment is None
