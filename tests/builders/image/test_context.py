"""Contexts: what is in the directory, the same each time. What an engine makes of one is in tests/conformance."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from gantline.builders.image.base import Base, open_base
from gantline.builders.image.build import Built, Supplies, Wheels, build_image
from gantline.builders.image.context import write_context
from gantline.builders.image.shelf import Shelf
from gantline.builders.image.wheel import Wheel

from gantline.blobs import sha256_file
from gantline.errors import UsageError, VerificationFailed
from gantline.manifest import Manifest
from gantline.oci.archive import write_archive
from gantline.oci.descriptor import LAYER
from gantline.oci.image import write_manifest
from gantline.oci.platforms import Platform
from gantline.oci.store import Store
from gantline.packages import Package, seal

from .test_merged import tar_of

AMD64 = Platform("linux", "amd64")


@pytest.fixture
def built(base: Base, shelf: Shelf, make_wheel: object, tmp_path: Path) -> Built:
    root = tmp_path / "m.pkg"
    root.mkdir()
    (root / "model.onnx").write_bytes(b"model")
    package = seal(root, Manifest("m", "onnx", "model.onnx"), {})
    wheel = Wheel.open(make_wheel("thing", {"thing.py": b"A = 1\n"}))  # type: ignore[operator]
    return build_image(package, base, Supplies(Wheels((wheel,))), shelf)


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256_file(path) for path in folder.rglob("*") if path.is_file()}


def test_the_layers_in_their_order(built: Built, store: Store, tmp_path: Path) -> None:
    size = write_context(store, built, "m:1", tmp_path / "one")
    text = (tmp_path / "one" / "Dockerfile").read_text()
    added = [json.loads(line[4:])[0] for line in text.splitlines() if line.startswith("ADD ")]
    assert added == [
        "layers/base-rootfs.tar.gz", "layers/wheel-thing-1.0.tar.gz", "layers/gantline.tar.gz", "layers/weights.tar",
        "layers/package.tar.gz",
    ]  # fmt: skip
    digests = [sha256_file(tmp_path / "one" / path) for path in added]
    assert digests == [layer.digest for layer in built.image.layers]
    assert size == sum(layer.size for layer in built.image.layers)
    listed = json.loads((tmp_path / "one" / "layers" / "layers.json").read_bytes())
    assert listed["image"] == built.image.id and [one["digests"] for one in listed["layers"]] == [[d] for d in digests]
    assert "FROM scratch\n" in text and "podman build --platform linux/amd64 --format docker -t m:1 ." in text


def test_the_same_bytes_each_time_and_nothing_of_others_is_lost(built: Built, store: Store, tmp_path: Path) -> None:
    target = tmp_path / "context"
    write_context(store, built, "m:1", target)
    first = files(target)
    with pytest.raises(UsageError, match="--overwrite"):
        write_context(store, built, "m:1", target)
    write_context(store, built, "m:1", target, overwrite=True)
    assert files(target) == first
    (target / "compose.yaml").write_text("services: {}\n")
    with pytest.raises(UsageError, match=r"holds 'compose.yaml', too"):
        write_context(store, built, "m:1", target, overwrite=True)
    (target / "compose.yaml").unlink()
    (target / "layers" / "mine.tar").write_bytes(b"")
    with pytest.raises(UsageError, match=r"holds 'layers/mine.tar', too"):
        write_context(store, built, "m:1", target, overwrite=True)
    assert (target / "layers" / "mine.tar").exists()
    project = tmp_path / "project"
    project.mkdir()
    (project / "Dockerfile").write_text("FROM debian\n")
    with pytest.raises(UsageError, match="not overwritten"):
        write_context(store, built, "m:1", project, overwrite=True)
    assert files(project).keys() == {"Dockerfile"}


def test_what_the_disk_has_damaged_is_not_passed_on(built: Built, store: Store, tmp_path: Path) -> None:
    path = store.path(built.layers[-1].layer.descriptor.digest)
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(VerificationFailed, match="not the bytes that its name says"):
        write_context(store, built, "m:1", tmp_path / "context")
    assert not (tmp_path / "context").exists()


def test_a_base_whose_layers_remove_files_is_added_as_one(store: Store, built: Built, tmp_path: Path) -> None:
    below = built.base
    gone = store.add(tar_of({"etc/.wh.os-release": b""}), LAYER)
    diff_ids = [*below.diff_ids, gone.digest]
    config = {**AMD64.to_json(), "config": {}, "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    image = write_manifest(store, config, (*below.layers, gone), {})
    write_archive(store, image.descriptor, "b:1", tmp_path / "base.tar")
    base = open_base(str(tmp_path / "base.tar"), AMD64, store)
    again = build_image(Package.open(tmp_path / "m.pkg"), base, Supplies(Wheels()), Shelf(store, tmp_path / "layers"))
    write_context(store, again, "m:1", tmp_path / "context")
    text = (tmp_path / "context" / "Dockerfile").read_text()
    assert '# base base.tar (its 2 layers as one: some remove files)\nADD ["layers/base-base.tar.gz"' in text
    with tarfile.open(tmp_path / "context" / "layers" / "base-base.tar.gz") as tar:
        assert {m.name for m in tar if m.isfile()} == {"usr/bin/python3.11", "usr/bin/python3.9"}
