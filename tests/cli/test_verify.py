"""`gantline verify`: digests and golden samples; exit code 4 and the file's name for anything that differs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge

import gantline
from gantline.cli import main
from gantline.manifest import Manifest
from gantline.packages import seal

X = np.random.default_rng(0).normal(size=(60, 3))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verify") / "p"
    gantline.package(Ridge().fit(X, X[:, 0]), name="ridge", output=folder)
    return folder


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "p"))


def test_what_was_checked_is_said(original: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(original)]) == 0
    out = capsys.readouterr().out
    assert "3, all as in the manifest" in out and "8 rows replayed" in out and "sha256:" in out
    assert main(["verify", str(original), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["verified"], told["files"], told["golden_rows"]) == (True, 3, 8)


@pytest.mark.parametrize("path", ["model.onnx", "golden/request.bin", "golden/reply.bin"])
def test_a_flipped_byte_anywhere(copy: Path, capsys: pytest.CaptureFixture[str], path: str) -> None:
    data = bytearray((copy / path).read_bytes())
    for at in (0, len(data) // 2, len(data) - 1):
        changed = bytearray(data)
        changed[at] ^= 0xFF
        (copy / path).write_bytes(changed)
        assert main(["verify", str(copy)]) == 4
        err = capsys.readouterr().err
        assert path in err and err.count("\n") == 1
    (copy / path).write_bytes(data)
    assert main(["verify", str(copy)]) == 0


def test_a_flipped_byte_in_the_manifest(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = copy / "manifest.json"
    data = path.read_bytes()
    for at in range(0, len(data) - 1, 31):
        changed = bytearray(data)
        changed[at] ^= 0x04
        path.write_bytes(changed)
        assert main(["verify", str(copy)]) == 4, changed[max(0, at - 20) : at + 20]
        err = capsys.readouterr().err
        assert "manifest.json" in err and err.count("\n") == 1
    path.write_bytes(data)
    assert main(["verify", str(copy)]) == 0


def test_a_model_that_answers_otherwise(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another model with a manifest made for it, but the first one's golden sample: only the replay can tell."""
    other = gantline.package(Ridge().fit(X, X[:, 1]), name="ridge", output=copy.parent / "other")
    golden = other.path / "golden"
    for name in ("request.bin", "reply.bin"):
        (golden / name).write_bytes((copy / "golden" / name).read_bytes())
    manifest = json.loads((other.path / "manifest.json").read_bytes())
    first = json.loads((copy / "manifest.json").read_bytes())
    manifest["golden"] = first["golden"]
    manifest["files"] = [f for f in first["files"] if "golden" in f["path"]] + [
        f for f in manifest["files"] if "golden" not in f["path"]
    ]
    sealed = Manifest.from_bytes(json.dumps(manifest).encode(), "m")
    (other.path / "manifest.json").write_bytes(sealed.to_bytes())
    (other.path / "lineage.json").unlink()
    assert main(["verify", str(other.path)]) == 4
    assert "output 'variable': relative error" in capsys.readouterr().err


def test_added_and_missing_files(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / "extra.txt").write_text("x")
    assert main(["verify", str(copy)]) == 4 and "extra.txt" in capsys.readouterr().err
    (copy / "extra.txt").unlink()
    (copy / "golden" / "reply.bin").unlink()
    assert main(["verify", str(copy)]) == 4 and "reply.bin: missing" in capsys.readouterr().err
    assert main(["verify", str(copy / "gone")]) == 3


SCORE = """
import json
def init(): pass
def run(d): return {"y": [float(open("bias").read()) + x for x in json.loads(d)]}
"""


def test_a_scripts_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, body = tmp_path / "src", tmp_path / "body.json"
    code.mkdir()
    (code / "score.py").write_text(SCORE)
    (code / "bias").write_text("0.5")
    body.write_text("[1, 2]")
    words = ["package", str(code), "--script", "score.py", "--sample", str(body), "--name", "s"]
    assert main([*words, "-o", str(tmp_path / "s")]) == 0
    assert main(["verify", str(tmp_path / "s")]) == 0
    assert "1 request replayed" in capsys.readouterr().out
    assert main(["inspect", str(tmp_path / "s")]) == 0
    assert "golden/request.bin -> golden/reply.bin" in capsys.readouterr().out

    # the same package with another model file, sealed anew with the first one's golden sample
    (tmp_path / "s" / "code" / "bias").write_text("0.75")
    manifest = Manifest.from_bytes((tmp_path / "s" / "manifest.json").read_bytes(), "m")
    seal(tmp_path / "s", manifest, {})
    assert main(["verify", str(tmp_path / "s")]) == 4
    err = capsys.readouterr().err
    assert "golden/request.bin: replayed, $.y[0]: expected 1.5, got 1.75" in err and err.count("\n") == 1

    body.write_text('["one"]')
    assert main([*words, "-o", str(tmp_path / "t")]) == 4
    err = capsys.readouterr().err
    assert "status 500: TypeError: " in err and not (tmp_path / "t").exists()


@pytest.mark.parametrize("ref", ["nothing:1", "nothing", "./nothing.tar", "../nothing/at.all"])
def test_what_is_nothing_at_all(
    ref: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been meant as an image as well as a package."""
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path / "home"))
    assert main(["verify", ref]) == 3
    err = capsys.readouterr().err
    assert f"gantline verify: error: {ref}: no such name in {tmp_path}/home/store, nor a package, an archive" in err
    assert err.count("\n") == 1
