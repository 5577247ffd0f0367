"""`gantline explain` and `gantline diff`, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gantline.cli import main
from gantline.manifest import Manifest
from gantline.oci.archive import write_archive
from gantline.oci.image import write_manifest
from gantline.oci.store import Store
from gantline.packages import seal

CONFIG = {
    "architecture": "amd64",
    "os": "linux",
    "config": {"Env": ["A=1"]},
    "rootfs": {"type": "layers", "diff_ids": []},
}


@pytest.fixture(autouse=True)
def images(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two without layers, of another program."""
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    store = Store.of_user()
    for tag, value in (("a:1", "A=1"), ("b:1", "A=2")):
        image = write_manifest(store, {**CONFIG, "config": {"Env": [value]}}, (), {})
        store.name(tag, image.descriptor)
        write_archive(store, image.descriptor, tag, tmp_path / f"{tag[0]}.tar", False)


@pytest.mark.parametrize("ref", ["a:1", "a.tar"])
def test_a_path_that_is_not_there(ref: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", ref, "/etc/passwd"]) == 3
    assert f"gantline explain: error: {ref}: has no /etc/passwd" in capsys.readouterr().err


def test_a_setting_that_differs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "a:1", "b.tar"]) == 0
    out = capsys.readouterr().out
    assert "variable A: 1 -> 2" in out and "to pull" in out
    assert main(["diff", "a:1", "b:1", "--json"]) == 0
    (change,) = json.loads(capsys.readouterr().out)["changes"]
    assert change == {"area": "setting", "name": "variable A", "before": "1", "after": "2"}
    assert main(["diff", "a:1", "a.tar"]) == 0 and "one image" in capsys.readouterr().out


def test_a_name_without_a_tag_and_a_package(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store.of_user()
    store.name("c:latest", store.names()["a:1"])
    assert main(["diff", "c", "a:1"]) == 0 and "one image" in capsys.readouterr().out
    assert main(["verify", "c"]) == 0
    (tmp_path / "p.pkg").mkdir()
    seal(tmp_path / "p.pkg", Manifest("p", "null"), {})
    assert main(["diff", "p.pkg", "a:1"]) == 3
    assert "p.pkg: a package, not an image; make one with `gantline build`" in capsys.readouterr().err


def test_digests_and_what_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    named = Store.of_user().names()["a:1"]
    image_id = Store.of_user().read_json(named)["config"]["digest"]
    assert main(["diff", named.digest, image_id, "--platform", "linux/amd64"]) == 0
    assert "one image" in capsys.readouterr().out
    assert main(["diff", "a:1", "b:1", "--platform", "linux/arm64"]) == 3
    assert "a:1: is for linux/amd64, not for linux/arm64" in capsys.readouterr().err
    assert main(["diff", "sha256:" + "0" * 64, "a:1"]) == 3
    assert "neither an image nor an image ID" in capsys.readouterr().err
    assert main(["diff", "a:1", "c:1"]) == 3 and "c:1: no such name in" in capsys.readouterr().err
