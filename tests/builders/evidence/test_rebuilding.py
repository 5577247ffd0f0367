"""An image made anew from what it carries."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from gantline.builders.evidence.rebuilding import Rebuilding
from gantline.builders.image import runtime
from gantline.builders.image.entry import Entry
from gantline.builders.lock.sources import Sources

from gantline.errors import BadArtefact, VerificationFailed
from gantline.oci.image import Image, write_manifest
from gantline.oci.store import Store

from .conftest import Build, package


def rebuilding(store: Store, wheels: Path, base: str = "") -> Rebuilding:
    return Rebuilding(store, Sources(find_links=(str(wheels),), no_index=True), lambda _: None, base)


def test_the_same(image: Image, store: Store, wheels: Path, rootfs: Path, tmp_path: Path) -> None:
    assert rebuilding(store, wheels).run(image, "s:1").image.id == image.id
    called_otherwise = tmp_path / "other.tar"
    called_otherwise.write_bytes(rootfs.read_bytes())
    assert rebuilding(store, wheels, str(called_otherwise)).run(image, "s:1").image.id == image.id


def test_its_own_date(
    build: Build, store: Store, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    dated = build(package(tmp_path / "s.pkg"), "s:dated").images[0].image
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    assert dated.config["created"] == "2023-11-14T22:13:20Z"
    assert rebuilding(store, wheels).run(dated, "s:dated").image.id == dated.id
    assert "SOURCE_DATE_EPOCH" not in os.environ


def test_another_runtime_is_named(image: Image, store: Store, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = runtime.entries

    def fewer() -> list[Entry]:
        return [e for e in entries() if not e.path.endswith("/errors.py")]

    monkeypatch.setattr(runtime, "entries", fewer)
    with pytest.raises(VerificationFailed, match=rf"s:1: rebuilt as .* what differs: gantline {runtime.version()}$"):
        rebuilding(store, wheels).run(image, "s:1")


def test_a_config_that_was_changed(image: Image, store: Store, wheels: Path) -> None:
    settings = {**image.settings, "User": "0"}
    changed = write_manifest(store, {**image.config, "config": settings}, image.layers, image.annotations)
    with pytest.raises(VerificationFailed, match="what differs: its config"):
        rebuilding(store, wheels).run(changed, "s:1")


def test_an_image_of_another_program(image: Image, store: Store, wheels: Path) -> None:
    foreign = replace(image, config={**image.config, "config": {}})
    with pytest.raises(BadArtefact, match="not an image that `gantline build` made"):
        rebuilding(store, wheels).run(foreign, "x:1")


def test_layers_of_an_engine(image: Image, store: Store, wheels: Path) -> None:
    other = replace(image, config={**image.config, "history": []})
    with pytest.raises(BadArtefact, match=r"x:1: an engine made its layers, .*gantline diff"):
        rebuilding(store, wheels).run(other, "x:1")
