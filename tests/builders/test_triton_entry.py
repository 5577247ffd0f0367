"""What of a Triton repository is meant by a path, and which files of it a package needs."""

from __future__ import annotations

from pathlib import Path

from gantline.builders.triton_entry import is_entry, models_in, read_entry

from tests.builders.triton_models import entry, scorer


def test_what_is_an_entry(tmp_path: Path) -> None:
    place = entry(tmp_path)
    assert is_entry(place) and is_entry(place / "2") and not is_entry(tmp_path) and not is_entry(place / "warmup")
    assert models_in(tmp_path) == ["scores"] and models_in(place) == []
    scorer(tmp_path / "bare/1/model.onnx")
    assert is_entry(tmp_path / "bare") and not is_entry(tmp_path / "gone")
    (tmp_path / "bare/manifest.json").write_text("{}")
    assert not is_entry(tmp_path / "bare"), "a package is no entry"


def test_the_version_that_the_policy_serves_last(tmp_path: Path) -> None:
    place = entry(tmp_path)
    assert read_entry(place).version == 3 and read_entry(place / "2").version == 2
    text = (place / "config.pbtxt").read_text()
    (place / "config.pbtxt").write_text(text.replace("specific: { versions: [ 1, 3 ] }", "specific: { versions: 1 }"))
    assert read_entry(place).file == place / "1" / "net.onnx"
    (place / "04").mkdir()
    assert read_entry(place / "3").version == 3, "04 is no version"


def test_the_files_that_the_config_names(tmp_path: Path) -> None:
    place = entry(tmp_path)
    found = read_entry(place)
    assert found.files() == {
        "config/config.pbtxt": place / "config.pbtxt",
        "config/labels.txt": place / "labels.txt",
        "config/warmup/pixels": place / "warmup/pixels",
    }


def test_external_data_and_backends_by_their_files(tmp_path: Path) -> None:
    scorer(tmp_path / "wide/1/model.onnx/model.onnx")
    found = read_entry(tmp_path / "wide")
    assert (found.backend, found.config) == ("onnxruntime", None)
    assert found.file == tmp_path / "wide/1/model.onnx/model.onnx"
    (tmp_path / "py/1").mkdir(parents=True)
    (tmp_path / "py/1/model.py").write_text("")
    (tmp_path / "py/config.pbtxt").write_text('name: "py"')
    assert read_entry(tmp_path / "py").backend == "python"
