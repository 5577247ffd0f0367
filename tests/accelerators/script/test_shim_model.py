"""Model.get_model_path over directories as Azure lays them out, and as packages do."""

from __future__ import annotations

from pathlib import Path

import pytest
from gantline.accelerators.script.shim_model import Model


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "models"
    root.mkdir()
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(root))
    monkeypatch.setenv("AML_APP_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return root


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    return path


def test_several_models_with_versions(models: Path) -> None:
    for version in (2, 10):
        write(models / "iris" / str(version) / "model.pkl")
    write(models / "other" / "1" / "m.onnx")
    assert Model.get_model_path("iris") == str(models / "iris" / "10" / "model.pkl")
    assert Model.get_model_path("iris", version=2) == str(models / "iris" / "2" / "model.pkl")
    with pytest.raises(FileNotFoundError, match="version 3"):
        Model.get_model_path("iris", 3)
    write(models / "iris" / "10" / "second")
    with pytest.raises(FileNotFoundError, match="2 entries; expected exactly one"):
        Model.get_model_path("iris")


def test_a_file_of_that_name_and_the_only_one(models: Path) -> None:
    only = write(models / "model.pkl")
    assert Model.get_model_path("model.pkl") == str(only)
    assert Model.get_model_path("registered-name") == str(only)


def test_beside_the_script_and_in_the_working_directory(models: Path, tmp_path: Path) -> None:
    for path in (models / "a", models / "b", tmp_path / "local"):
        write(path)
    beside = write(tmp_path / "azureml-models" / "iris" / "1" / "m")
    assert Model.get_model_path("iris", 1) == str(beside)
    assert Model.get_model_path("local") == "local"
    with pytest.raises(FileNotFoundError, match="azureml-models"):
        Model.get_model_path("nowhere")
