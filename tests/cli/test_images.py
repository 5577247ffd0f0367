"""`gantline images`, and `gantline inspect` of an image, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gantline.builders.engine.record import Deployed, Record, Records

from gantline.cli import main
from gantline.oci.archive import write_archive
from gantline.oci.image import Image, write_manifest
from gantline.oci.store import Store

CONFIG: dict[str, Any] = {
    "architecture": "amd64",
    "os": "linux",
    "config": {"Env": ["A=1"], "Entrypoint": ["/bin/serve"], "Cmd": ["--all"], "User": "65532", "Labels": {"k": "v"}},
    "rootfs": {"type": "layers", "diff_ids": []},
}


@pytest.fixture(autouse=True)
def image(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Image:
    """One without layers, under two names."""
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    store = Store.of_user()
    image = write_manifest(store, CONFIG, (), {})
    for tag in ("a:1", "b:1"):
        store.name(tag, image.descriptor)
    return image


def said(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def failed(capsys: pytest.CaptureFixture[str], code: int, *words: str) -> str:
    assert main(list(words)) == code
    return capsys.readouterr().err


def test_list(capsys: pytest.CaptureFixture[str], image: Image) -> None:
    a, b = said(capsys, "images")["images"]
    assert (a["name"], a["kind"], a["ids"], a["digest"]) == ("a:1", "image", [image.id], image.descriptor.digest)
    assert b["bytes"] == b["bytes_alone"] > 0
    assert main(["images"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["NAME", "KIND"] and lines[1].split()[:3] == ["a:1", "image", "linux/amd64"]
    assert main(["images", "list"]) == 0 and capsys.readouterr().out.splitlines() == lines


def test_tag_and_remove(capsys: pytest.CaptureFixture[str], image: Image) -> None:
    assert said(capsys, "images", "tag", image.id, "c:prod") == {
        "name": "c:prod",
        "digest": image.descriptor.digest,
        "was": None,
    }
    assert main(["images", "tag", "a:1", "c:prod"]) == 0
    assert capsys.readouterr().out == f"c:prod is {image.descriptor.digest[:19]}\n"
    removed = said(capsys, "images", "remove", "a:1", "b:1", "a:1")
    assert [one["name"] for one in removed["removed"]] == ["a:1", "b:1"] and removed["bytes"] == 0, "c:prod has it"
    assert main(["images", "remove", "c:prod"]) == 0
    assert "have no name any more; `gantline registry gc` removes them" in capsys.readouterr().out
    assert said(capsys, "images")["images"] == []


def test_what_frees_the_store_beside_another_registry(
    capsys: pytest.CaptureFixture[str], image: Image, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GANTLINE_REGISTRY", str(tmp_path / "team"))
    assert main(["images"]) == 0
    assert f"`gantline registry gc --registry {Store.of_user().root.parent}` removes" in capsys.readouterr().out
    monkeypatch.setenv("GANTLINE_REGISTRY", "nonsense://x")
    assert main(["images"]) == 0


def test_all_or_none_are_removed(capsys: pytest.CaptureFixture[str], image: Image) -> None:
    assert "nothing:1: no such name in the store; there is a:1, b:1" in failed(
        capsys, 3, "images", "remove", "a:1", "nothing:1"
    )
    deployed = (Deployed("main", "b:1", image.id),)
    with Records.of_user().claim("sorter"):
        Records.of_user().put(Record("sorter", "process", "here", "sorter", deployed))
    assert "b:1: endpoint sorter runs it; `gantline endpoint delete sorter`" in failed(
        capsys, 2, "images", "remove", "a:1", "b:1"
    )
    assert [one["name"] for one in said(capsys, "images")["images"]] == ["a:1", "b:1"]


@pytest.mark.parametrize("words", [["remove"], ["tag", "a:1"], ["list", "a:1"], ["tag", "a:1", "b:1", "c:1"]])
def test_names_that_are_too_few_or_too_many(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert f"{words[0]}: takes " in failed(capsys, 2, "images", *words)


def test_a_tag_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert "expected NAME:TAG" in failed(capsys, 2, "images", "tag", "a:1", "No Tag")
    assert "no such name in" in failed(capsys, 3, "images", "tag", "z:1", "c:1")


@pytest.mark.parametrize("how", ["name", "digest", "id", "archive"])
def test_inspect(how: str, capsys: pytest.CaptureFixture[str], image: Image, tmp_path: Path) -> None:
    write_archive(Store.of_user(), image.descriptor, "a:1", tmp_path / "a.tar", False)
    ref = {"name": "a:1", "digest": image.descriptor.digest, "id": image.id, "archive": "a.tar"}[how]
    found = said(capsys, "inspect", ref)
    assert (found["id"], found["platform"], found["labels"]) == (image.id, "linux/amd64", {"k": "v"})
    assert main(["inspect", ref]) == 0
    out = capsys.readouterr().out
    assert "starts    /bin/serve --all" in out and "variable  A=1" in out and "user      65532" in out
