"""`gantline inspect`: packages and bare ONNX files, for people and programs."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import gantline
from gantline.cli import main
from gantline.packages import Package

X = np.random.default_rng(0).normal(size=(60, 3))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, np.where(X[:, 0] > 0, "yes", "no"))
    folder = tmp_path_factory.mktemp("inspect")
    return gantline.package(model, name="answers", output=folder / "p", rtol=0.01, run="run-9", label="spring")


def shown(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main(["inspect", *map(str, words)]) == 0
    return capsys.readouterr().out


def test_a_person_sees_everything(package: Package, capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, package.path)
    assert package.digest is not None
    for told in (
        "answers", package.digest, "Pipeline(StandardScaler, LogisticRegression)", "X FP32 [-1,3]",
        "probabilities FP32 [-1,2] labels: no, yes", "up to 64 rows", "64 synthetic rows", "0 label flips",
        "limits loosened: rtol 0.0001 -> 0.01", "golden/request.bin -> golden/reply.bin", "model.onnx", "run: run-9",
        "label: spring", "skl2onnx", f"tried with  numpy {version('numpy')}, onnxruntime {version('onnxruntime')}",
    ):  # fmt: skip
        assert told in out, told


def test_a_program_gets_all_of_it(package: Package, capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(shown(capsys, package.path, "--json"))
    assert told["digest"] == package.digest and told["lineage"]["run"] == "run-9"
    assert told["manifest"] == json.loads(json.dumps(package.manifest.to_json()))
    assert told["manifest"]["parity"]["sample"] == "synthetic"


def test_a_bare_file(package: Package, capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, package.model_path)
    assert "X FP32 [-1,3]" in out and "opset" in out and "ai.onnx.ml" in out and "size" in out
    told = json.loads(shown(capsys, package.model_path, "--json"))
    assert told["size"] == package.model_path.stat().st_size and told["signature"]["inputs"][0]["name"] == "X"
    assert told["opset"]["ai.onnx.ml"] >= 1


@pytest.mark.parametrize(("name", "content"), [("m.onnx", b"\x89PNG\r\n\x1a\n"), ("gone.onnx", None), ("gone", None)])
def test_what_cannot_be_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes | None
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    assert main(["inspect", str(path)]) == 3
    err = capsys.readouterr().err
    assert str(path) in err and err.count("\n") == 1


def test_a_script_that_yields(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "score.py"
    script.write_text("INPUTS = OUTPUTS = {'x': ('FP32', [1])}\ndef infer(inputs):\n    yield inputs\n")
    gantline.package(script=script, name="one", output=tmp_path / "one.pkg")
    assert "code/score.py (tensors, yields)" in shown(capsys, tmp_path / "one.pkg")
    script.write_text(script.read_text().replace("yield", "return"))
    gantline.package(script=script, name="two", output=tmp_path / "two.pkg")
    assert "code/score.py (tensors)" in shown(capsys, tmp_path / "two.pkg")
