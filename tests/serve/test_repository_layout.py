"""What REFs hold: packages, bare models, Triton repositories, mixtures, and what is wrong with them."""

from __future__ import annotations

import builtins
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gantline.accelerators.triton.versions import Policy
from gantline.serve.entry import Entry
from gantline.serve.repository_layout import Search, find_entries

from gantline.blobs import publish_directory
from gantline.errors import BadArtefact, Unsupported, UsageError
from gantline.manifest import Manifest
from gantline.packages import Package, seal


def _file(path: Path, text: str = "model") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _package(path: Path, name: str) -> Path:
    with publish_directory(path) as work:
        _file(work / "model.onnx")
        seal(work, Manifest(name=name, engine="onnx", model="model.onnx"), {})
    return path


def _shown(entries: list[Entry]) -> list[tuple[str, str, bool]]:
    return [(e.name, e.version, not e.problem) for e in entries]


def test_a_package_and_a_bare_file(tmp_path: Path) -> None:
    package, bare = _package(tmp_path / "p.pkg", "iris"), _file(tmp_path / "digits v2.onnx")
    entries = find_entries([str(package), str(bare)])
    assert _shown(entries) == [("iris", "1", True), ("digits v2", "1", True)]
    assert entries[0].package is not None and entries[0].package.digest is not None
    assert entries[1].package is not None and entries[1].package.model_path == bare


def test_a_directory_of_everything(tmp_path: Path) -> None:
    _package(tmp_path / "p.pkg", "iris")
    _file(tmp_path / "digits.onnx")
    _file(tmp_path / "triton/1/model.onnx")
    _file(tmp_path / "configured/3/other.onnx")
    _file(tmp_path / "configured/config.pbtxt", 'default_model_filename: "other.onnx"')
    _file(tmp_path / "README.md")
    (tmp_path / "empty").mkdir()
    _file(tmp_path / ".p.pkg.abc.tmp/manifest.json")  # a publication that is under way
    assert _shown(find_entries([str(tmp_path)])) == [
        ("configured", "3", True), ("digits", "1", True), ("iris", "1", True), ("triton", "1", True),
    ]  # fmt: skip


def test_triton_versions(tmp_path: Path) -> None:
    for version in ("1", "2", "10", "010", "0", "v3", "old"):
        _file(tmp_path / f"m/{version}/model.onnx")
    _file(tmp_path / "m/11")  # a file
    assert _shown(find_entries([str(tmp_path)])) == [("m", "10", True)]
    _file(tmp_path / "m/config.pbtxt", 'name: "m" version_policy { all {} }')
    assert _shown(find_entries([str(tmp_path)])) == [("m", "1", True), ("m", "2", True), ("m", "10", True)]
    assert _shown(find_entries([str(tmp_path / "m")])) == [("m", "1", True), ("m", "2", True), ("m", "10", True)]


def test_external_data_in_a_model_directory(tmp_path: Path) -> None:
    inner = _file(tmp_path / "m/1/model.onnx/model.onnx")
    (entry,) = find_entries([str(tmp_path)])
    assert entry.package is not None and entry.package.model_path == inner


def test_packages_in_numbered_directories(tmp_path: Path) -> None:
    _package(tmp_path / "1", "a")
    _package(tmp_path / "2", "b")
    assert _shown(find_entries([str(tmp_path)])) == [("a", "1", True), ("b", "1", True)]


BROKEN: list[tuple[str, str, str]] = [
    ("bad.pkg/manifest.json", "{", "not JSON"),
    ("forgot/model.onnx", "x", "no version directory; expected forgot/1/model.onnx"),
    ("wrong/1/model.plan", "x", r"no model.onnx \(found model.plan\)"),
    ("syntax/config.pbtxt", "max_batch_size 8", r"config\.pbtxt:1: "),
    ("renamed/config.pbtxt", 'name: "other"', "name is 'other', the directory is 'renamed'"),
    ("plan/config.pbtxt", 'platform: "tensorrt_plan"', "platform 'tensorrt_plan' is not supported"),
    ("none/config.pbtxt", "version_policy { specific { versions: 7 } }", "serves none of the versions 1"),
]


def test_a_broken_model_does_not_hide_the_others(tmp_path: Path) -> None:
    _file(tmp_path / "good.onnx")
    for path, text, _ in BROKEN:
        _file(tmp_path / path, text)
    _file(tmp_path / "none/1/model.onnx")
    entries = {e.name: e for e in find_entries([str(tmp_path)])}
    assert len(entries) == len(BROKEN) + 1 and not entries["good"].problem
    for path, _, message in BROKEN:
        entry = entries[path.split("/")[0].removesuffix(".pkg")]
        with pytest.raises(BadArtefact, match=message):
            raise BadArtefact(entry.problem)
        assert entry.package is None


@pytest.mark.parametrize(("path", "text", "message"), BROKEN)
def test_a_broken_ref_is_an_error(tmp_path: Path, path: str, text: str, message: str) -> None:
    _file(tmp_path / path, text)
    (tmp_path / "none/1").mkdir(parents=True)
    with pytest.raises(BadArtefact, match=message):
        find_entries([str(tmp_path / path.split("/")[0])])


@pytest.mark.parametrize(
    ("ref", "kind", "message"),
    [
        ("nothing", BadArtefact, "no such file or directory; expected a package"),
        ("file.txt", BadArtefact, "not a model; expected a package"),
        ("empty", BadArtefact, "holds no models; expected a package"),
        ("registry://iris@champion", Unsupported, "REFs of registry:// are not served yet"),
        ("oci://host/repo:tag", Unsupported, "REFs of oci://"),
    ],
)
def test_refs_that_are_no_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ref: str, kind: type[Exception], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    _file(tmp_path / "file.txt")
    (tmp_path / "empty/below").mkdir(parents=True)
    with pytest.raises(kind, match=message):
        find_entries([ref])


def test_duplicate_names_name_both_places(tmp_path: Path) -> None:
    a, b = _package(tmp_path / "a.pkg", "iris"), _package(tmp_path / "b.pkg", "iris")
    with pytest.raises(UsageError, match=r"model 'iris' is in .*a\.pkg and in .*b\.pkg"):
        find_entries([str(a), str(b)])
    with pytest.raises(UsageError, match=r"model 'iris' is in .*a\.pkg and in .*b\.pkg"):
        find_entries([str(tmp_path)])


def test_one_model_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a load request asks for: that model as it lies there now, whatever became of the others."""
    _file(tmp_path / "repo/a/1/model.onnx")
    _file(tmp_path / "repo/b/config.pbtxt", "not a config")
    package, bare = _package(tmp_path / "p.pkg", "iris"), _file(tmp_path / "bare.onnx")
    refs = [str(tmp_path / "repo"), str(package), str(bare), str(tmp_path / "gone")]
    for name in ("a", "iris", "bare"):
        assert _shown(find_entries(refs, Search(name))) == [(name, "1", True)]
    assert find_entries(refs, Search("nope")) == find_entries(refs, Search("")) == []
    assert Search().wants("a") and not Search("").wants("a")
    assert "config.pbtxt:1" in find_entries(refs, Search("b"))[0].problem
    _file(tmp_path / "repo/a/2/model.onnx")
    assert _shown(find_entries(refs, Search("a"))) == [("a", "2", True)]


def test_another_configuration(tmp_path: Path) -> None:
    for version in "12":
        _file(tmp_path / f"repo/a/{version}/model.onnx")
    _file(tmp_path / "repo/a/config.pbtxt", "max_batch_size: 4")
    package, bare = _package(tmp_path / "p.pkg", "iris"), _file(tmp_path / "bare.onnx")
    refs = [str(tmp_path / "repo"), str(package), str(bare)]
    found = find_entries(refs, Search("a", '{"max_batch_size": 7, "version_policy": {"all": {}}}'))
    assert [(e.version, e.config.max_batch_size) for e in found] == [("1", 7), ("2", 7)]
    (broken,) = find_entries(refs, Search("a", '{"max_batch": 7}'))
    assert "the configuration given for" in broken.problem and "max_batch" in broken.problem
    for name, message in (("iris", "is a package, which is immutable"), ("bare", "takes none")):
        with pytest.raises(BadArtefact, match=message):
            find_entries(refs, Search(name, "{}"))


def test_a_file_is_version_1_and_no_other(tmp_path: Path) -> None:
    bare = _file(tmp_path / "bare.onnx")
    (one,) = find_entries([str(bare)], Search(choose=lambda name, words: Policy("1,7", 1)))
    assert (one.version, one.pinned, one.versions) == ("1", True, "1,7")
    with pytest.raises(BadArtefact, match=r"bare.onnx: versions '7' serves none of the versions 1"):
        find_entries([str(bare)], Search(choose=lambda name, words: Policy("7")))


def test_packages_below_a_config(tmp_path: Path) -> None:
    _package(tmp_path / "iris/1", "iris")
    _package(tmp_path / "iris/2", "iris")
    _file(tmp_path / "iris/config.pbtxt", "version_policy { all {} } instance_group { count: 3 }")
    found = find_entries([str(tmp_path)])
    assert [(e.version, e.config.instances) for e in found if e.config] == [("1", 3), ("2", 3)]
    assert [(e.package.version, e.package.digest is None) for e in found if e.package] == [("1", False), ("2", False)]
    _package(tmp_path / "other/1", "iris")
    _file(tmp_path / "other/config.pbtxt", "")
    (wrong,) = [e for e in find_entries([str(tmp_path)]) if e.name == "other"]
    assert "its package is 'iris', the directory 'other'; make them the same" in wrong.problem


def test_a_thousand_models_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(1000):
        _file(tmp_path / f"m{i}/1/model.onnx")
    opened: list[Any] = []
    real = builtins.open

    def spy(*args: Any, **kwargs: Any) -> Any:
        opened.append(args[0])
        return real(*args, **kwargs)

    monkeypatch.setattr(builtins, "open", spy)
    monkeypatch.setattr("io.open", spy)
    entries = find_entries([str(tmp_path)])
    assert len(entries) == 1000 and not [p for p in opened if "model.onnx" in str(p)]


def test_manifests_are_read_once_until_they_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        _package(tmp_path / f"{name}.pkg", name)
    _package(tmp_path / "c/1", "c")
    read: list[str] = []
    real = Package.open

    def spy(place: Path) -> Package:
        read.append(place.name)
        return real(place)

    monkeypatch.setattr(Package, "open", spy)
    search = Search()
    before = find_entries([str(tmp_path)], search)
    assert [e.name for e in before] == ["a", "b", "c"] and read == ["a.pkg", "b.pkg", "1"]
    assert find_entries([str(tmp_path)], search) == before and find_entries([str(tmp_path)], replace(search, only="b"))
    assert len(read) == 3, "nothing has changed"
    shutil.rmtree(tmp_path / "b.pkg")
    shutil.rmtree(tmp_path / "a.pkg")
    _package(tmp_path / "a.pkg", "other")
    assert [e.name for e in find_entries([str(tmp_path)], search)] == ["other", "c"] and read[3:] == ["a.pkg"]
    assert {p.name for p in search.packages} == {"a.pkg", "1"}, "what is gone is forgotten"


def test_what_is_broken_is_told_of_the_version_that_would_serve(tmp_path: Path) -> None:
    for version in (1, 12):
        _file(tmp_path / f"m/{version}/model.onnx")
    _file(tmp_path / "m/config.pbtxt", "max_batch: 1")
    (one,) = find_entries([str(tmp_path)])
    assert one.version == "12" and "config.pbtxt:1" in one.problem
