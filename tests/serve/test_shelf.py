"""Where models lie: policies from settings, stamps that tell changes, and errors that do not tell paths."""

from __future__ import annotations

import base64
import os
import shutil
from pathlib import Path

import pytest
from gantline.serve.given import PREFIX
from gantline.serve.shelf import Shelf, stamp

from gantline.blobs import publish_directory
from gantline.errors import BadArtefact
from gantline.manifest import Manifest
from gantline.packages import seal
from gantline.settings import ServeSettings, resolve


def shelf(*refs: Path, toml: str = "", **flags: str) -> Shelf:
    config = None
    if toml:
        config = refs[0].parent / "gantline.toml"
        config.write_text(toml)
    return Shelf([str(r) for r in refs], resolve(ServeSettings, flags, {}, config))


def file(path: Path, text: str = "model") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def package(path: Path, name: str) -> Path:
    with publish_directory(path) as work:
        file(work / "model.onnx")
        seal(work, Manifest(name=name, engine="onnx", model="model.onnx"), {})
    return path


def versions(one: Shelf, name: str) -> list[tuple[str, bool]]:
    return [(e.version, e.pinned) for e in one.entries() if e.name == name]


def test_policies_of_settings_and_files(tmp_path: Path) -> None:
    root = tmp_path / "models"
    for version in (1, 2, 3):
        file(root / f"net/{version}/model.onnx")
        package(root / f"iris/{version}", "iris")
    assert versions(shelf(root), "net") == [("3", False)] == versions(shelf(root), "iris")
    assert versions(shelf(root, versions="latest:2"), "iris") == [("2", False), ("3", False)]
    toml = '[serve]\nversions = "all"\n[model.iris]\nversions = "1,2"\n[model.net]\ndefault_version = 2\n'
    told = shelf(root, toml=toml)
    assert versions(told, "iris") == [("1", False), ("2", False)]
    assert versions(told, "net") == [("1", False), ("2", True), ("3", False)]
    file(root / "net/config.pbtxt", "version_policy { latest { num_versions: 2 } }")
    assert versions(shelf(root), "net") == [("2", False), ("3", False)]
    assert versions(shelf(root, versions="1"), "net") == [("1", False)], "a flag beats the file"
    pinned = shelf(root, toml="[model.net]\ndefault_version = 1\n")
    assert versions(pinned, "net") == [("1", True), ("2", False), ("3", False)], "the pinned one serves in any case"
    (entry,) = (e for e in shelf(root, toml="[model.iris]\ndefault_version = 7\n").entries() if e.name == "iris")
    assert "default_version is 7, which is not there; it has 1, 2, 3" in entry.problem


def test_a_broken_version_of_a_package_is_one_of_its_versions(tmp_path: Path) -> None:
    package(tmp_path / "models/iris/1", "iris")
    file(tmp_path / "models/iris/2/manifest.json", "{")
    entries = shelf(tmp_path / "models", versions="all").entries()
    assert [(e.name, e.version, "not JSON" in e.problem) for e in entries] == [
        ("iris", "1", False),
        ("iris", "2", True),
    ]


def test_a_place_keeps_the_name_of_its_model(tmp_path: Path) -> None:
    """A manifest that is being written must not look as if the model had gone and another had come."""
    place = package(tmp_path / "models/file-name.pkg", "churn")
    one = shelf(tmp_path / "models", model_control="poll")
    assert [e.name for e in one.entries()] == ["churn"]
    file(place / "manifest.json", "{")
    (entry,) = one.entries()
    assert entry.name == "churn" and "not JSON" in entry.problem


def test_directories_that_are_empty_for_now(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    with pytest.raises(BadArtefact, match="holds no models"):
        shelf(tmp_path / "models").entries()
    for mode in ("poll", "explicit"):
        assert shelf(tmp_path / "models", model_control=mode).entries() == []


def test_a_stamp_changes_with_any_file(tmp_path: Path) -> None:
    root = tmp_path / "m"
    first, config = file(root / "1/model.onnx"), file(root / "config.pbtxt", "")
    bare = file(tmp_path / "bare.onnx")

    def changed(place: Path) -> bool:
        now = stamp(place)
        return seen.setdefault(place, now) != now or seen.update({place: now}) is not None

    seen: dict[Path, str] = {}
    assert not changed(root) and not changed(bare) and not changed(root)
    file(root / ".1.tmp/model.onnx")  # a publication under way
    assert not changed(root)
    before = stamp(root)
    file(root / "2/model.onnx")
    assert stamp(root) != before
    before = stamp(root)
    os.utime(config, ns=(1, 1))
    assert stamp(root) != before
    before = stamp(root)
    copy = root / "1/copy"
    shutil.copy2(first, copy)  # the same size and times, another inode
    copy.replace(first)
    assert stamp(root) != before
    before = stamp(bare)
    file(tmp_path / "bare.onnx.data")
    assert stamp(bare) != before and stamp(tmp_path / "none") == stamp(tmp_path / "neither")


def test_a_stamp_sees_through_links(tmp_path: Path) -> None:
    for name in ("red", "blue"):
        file(tmp_path / f"data/{name}/model.onnx")
    (tmp_path / "m").mkdir()
    link = tmp_path / "m/1"
    link.symlink_to(tmp_path / "data/red")
    (tmp_path / "m/loop").symlink_to(tmp_path / "m")
    before = stamp(tmp_path / "m")
    assert stamp(tmp_path / "m") == before
    file(tmp_path / "data/red/model.onnx", "longer than before")
    changed = stamp(tmp_path / "m")
    assert changed != before
    link.unlink()
    link.symlink_to(tmp_path / "data/blue")
    assert stamp(tmp_path / "m") not in (before, changed)


def test_errors_show_paths_from_the_ref_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path / "models/iris.pkg", "iris")
    one = shelf(tmp_path / "models")
    assert one.shown(f"{tmp_path}/models/iris.pkg/model.onnx: bad") == "models/iris.pkg/model.onnx: bad"
    monkeypatch.chdir(tmp_path)
    relative = Shelf(["models"], resolve(ServeSettings, {}, {}))
    assert relative.shown("models/iris.pkg: bad") == "models/iris.pkg: bad"
    assert relative.shown(f"{tmp_path.resolve()}/models/x: bad") == "models/x: bad"


def test_files_that_are_given_lie_elsewhere(tmp_path: Path) -> None:
    file(tmp_path / "m/1/model.onnx")
    one = shelf(tmp_path)
    text = base64.b64encode(b"given").decode()
    entries, folder = one.find("m", '{"version_policy": {"all": {}}}', {"1/model.onnx": text, "5/model.onnx": text})
    assert folder is not None and [e.version for e in entries] == ["1", "5"]
    assert entries[0].package is not None and entries[0].package.model_path.read_bytes() == b"given"
    assert one.shown(f"{folder}/m/1/model.onnx: bad") == "m/1/model.onnx: bad"
    shutil.rmtree(folder)
    before = set(folder.parent.glob(f"{PREFIX}*"))
    with pytest.raises(BadArtefact, match="the configuration given for"):
        one.find("m", "{", {"1/model.onnx": text})
    assert set(folder.parent.glob(f"{PREFIX}*")) == before
    assert one.find("m")[1] is None and one.find("none") == one.find("") == ([], None)


def test_a_ref_that_an_alias_moves(tmp_path: Path) -> None:
    first, second = package(tmp_path / "a" / "1", "iris").parent, package(tmp_path / "b" / "2", "iris").parent
    other = package(tmp_path / "wine.pkg", "wine")
    one = Shelf([str(first), str(other)], resolve(ServeSettings, {"model_control": "poll"}, {}), followed=[0])
    assert [(e.name, e.version) for e in one.entries()] == [("iris", "1"), ("wine", "1")]
    assert set(one.scan()) == {"wine"}, "it is not looked at for changes: those come otherwise"
    assert one.move(0, str(second)) == str(first)
    assert [e.version for e in one.find("iris")[0]] == ["2"]
    assert one.shown(f"{second}/2/model.onnx and {first}/1") == "b/2/model.onnx and a/1"
