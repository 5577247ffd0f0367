"""What of a package goes into which layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from gantline.builders.image import content

from gantline.manifest import Manifest, ScriptInfo
from gantline.packages import Package, seal

Make = Callable[..., Package]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def made(manifest: Manifest, files: dict[str, bytes]) -> Package:
        for path, data in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(data)
        return seal(tmp_path, manifest, {"who": "somebody", "when": "then"})

    return made


def test_a_model(make: Make) -> None:
    package = make(Manifest("iris", "onnx", "model.onnx"), {"model.onnx": b"m", "golden/request.bin": b"g"})
    weights, rest = content.parts(package)
    assert (weights.title, rest.title) == ("weights", "package")
    assert [e.path for e in weights.entries] == ["opt/gantline/models/iris/model.onnx"]
    assert [e.path.rpartition("/")[2] for e in rest.entries] == ["request.bin", "manifest.json"]
    assert not weights.compress and rest.compress
    assert "lineage" not in str(content.parts(package))


def test_a_script(make: Make) -> None:
    script = ScriptInfo("score.py", code="code", models="model")
    package = make(
        Manifest("s", "script", script=script), {"code/score.py": b"", "model/a.pkl": b"", "model/b.txt": b""}
    )
    assert [(p.title, len(p.entries)) for p in content.parts(package)] == [("weights", 2), ("code", 1), ("package", 1)]


def test_large_files_have_layers_of_their_own(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "LARGE", 100)
    files = {"model/model.onnx": b"m", "model/big.data": b"x" * 101, "model/small.data": b"x" * 100}
    package = make(Manifest("big", "onnx", "model/model.onnx"), files)
    titles = [(p.title, len(p.entries)) for p in content.parts(package)]
    assert titles == [("weights model/big.data", 1), ("weights", 2), ("package", 1)]


def test_of_very_many_large_files_the_largest_have_layers(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model in fifty pieces was refused: its layers alone were more than an image has."""
    monkeypatch.setattr(content, "LARGE", 100)
    files = {f"model/{n:02}.data": b"x" * (101 + n % 7) for n in range(50)} | {"model/model.onnx": b"m"}
    found = content.parts(make(Manifest("big", "onnx", "model/model.onnx"), files))
    assert len(found) == content.APART + 2
    own = [p.entries[0].size for p in found[: content.APART]]
    assert min(own) >= max(e.size for e in found[content.APART].entries) and len(found[content.APART].entries) == 35


def test_keys_are_of_content_and_place(make: Make) -> None:
    script = ScriptInfo("score.py")
    before = content.parts(make(Manifest("s", "script", script=script), {"code/score.py": b"1"}))
    after = content.parts(make(Manifest("s", "script", script=script), {"code/score.py": b"2"}))
    assert before[0].key != after[0].key
