"""Artifact: a package as an artifact of ModelPack's media types, and the same package again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import Ridge

import gantline
from gantline.blobs import canonical_json
from gantline.errors import BadArtefact, UsageError, VerificationFailed
from gantline.oci.artifact import ARTIFACT, CONFIG, PACKAGE, PATH, is_package, keep_package, write_package
from gantline.oci.descriptor import MANIFEST, Descriptor
from gantline.oci.store import Store
from gantline.packages import Package
from tests.oci.conftest import MakeImage


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    x = np.random.default_rng(0).normal(size=(60, 3))
    return gantline.package(Ridge().fit(x, x[:, 0]), name="ridge", output=tmp_path_factory.mktemp("a") / "ridge.pkg")


def tree_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_there_and_back(store: Store, package: Package, tmp_path: Path) -> None:
    kept = keep_package(store, package)
    assert kept == keep_package(store, package) and is_package(store, kept)
    again = write_package(store, kept, tmp_path / "again.pkg")
    assert again.digest == package.digest and tree_of(again.path) == tree_of(package.path)
    assert again.verify_files() == len(package.manifest.files)


def test_what_others_read_of_it(store: Store, package: Package) -> None:
    kept = keep_package(store, package)
    tree = store.read_json(kept)
    assert (tree["artifactType"], tree["config"]["mediaType"]) == (ARTIFACT, CONFIG)
    assert tree["annotations"][PACKAGE] == package.digest
    layers = {layer["annotations"][PATH]: layer for layer in tree["layers"]}
    assert {f.path: f.digest for f in package.manifest.files}.items() <= {
        p: x["digest"] for p, x in layers.items()
    }.items()
    kinds = {path: layer["mediaType"].rpartition("model.")[2] for path, layer in layers.items()}
    assert kinds == {
        "model.onnx": "weight.v1.raw", "golden/request.bin": "dataset.v1.raw", "golden/reply.bin": "dataset.v1.raw",
        "manifest.json": "weight.config.v1.raw", "lineage.json": "doc.v1.raw",
    }  # fmt: skip
    config = store.read_json(Descriptor.from_json(tree["config"], ""))
    assert config["descriptor"]["name"] == "ridge" and config["config"] == {"format": "onnx", "architecture": "Ridge"}
    assert config["modelfs"]["diffIds"] == [layer["digest"] for layer in tree["layers"]]


def test_a_file_that_changed_is_not_kept(store: Store, package: Package, tmp_path: Path) -> None:
    copy = write_package(store, keep_package(store, package), tmp_path / "copy.pkg")
    (copy.path / "model.onnx").write_bytes(b"x")
    with pytest.raises(VerificationFailed, match=r"model.onnx: 1 bytes"):
        keep_package(store, copy)


def changed(store: Store, package: Package, change: Any) -> Descriptor:
    """The artifact with another manifest."""
    tree = store.read_json(keep_package(store, package))
    change(tree)
    return store.add(canonical_json(tree), MANIFEST)


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "a\\x", "", "./x", "a//x", "."])
def test_paths_do_not_leave_the_package(store: Store, package: Package, tmp_path: Path, path: str) -> None:
    def change(tree: dict[str, Any]) -> None:
        tree["layers"][0]["annotations"] = {PATH: path}

    with pytest.raises(BadArtefact, match="leaves the package, or is none"):
        write_package(store, changed(store, package, change), tmp_path / "out")
    assert list(tmp_path.iterdir()) == [tmp_path / "store"]


def test_what_is_no_package(store: Store, package: Package, tmp_path: Path, make_image: MakeImage) -> None:
    assert not is_package(store, make_image().descriptor)

    def without_manifest(tree: dict[str, Any]) -> None:
        tree["layers"] = [x for x in tree["layers"] if x["annotations"][PATH] != "manifest.json"]

    def twice(tree: dict[str, Any]) -> None:
        tree["layers"].append(tree["layers"][0])

    def swapped(tree: dict[str, Any]) -> None:
        one, two = tree["layers"][0]["annotations"], tree["layers"][1]["annotations"]
        tree["layers"][0]["annotations"], tree["layers"][1]["annotations"] = two, one

    def other(tree: dict[str, Any]) -> None:
        tree["annotations"][PACKAGE] = "sha256:" + "0" * 64

    def packed(tree: dict[str, Any]) -> None:
        tree["layers"][0]["mediaType"] = "application/vnd.cncf.model.weight.v1.tar"

    for change, kind, words in (
        (without_manifest, BadArtefact, "without manifest.json"),
        (twice, BadArtefact, "two files of one path"),
        (swapped, VerificationFailed, "the manifest says"),
        (other, VerificationFailed, "its annotation says sha256:000"),
        (packed, BadArtefact, "made of raw files"),
    ):
        with pytest.raises(kind, match=words):
            write_package(store, changed(store, package, change), tmp_path / "out")
        assert [p.name for p in tmp_path.iterdir()] == ["store"]


def test_a_blob_that_the_disk_damaged(store: Store, package: Package, tmp_path: Path) -> None:
    kept = keep_package(store, package)
    model = store.path(package.manifest.files[0].digest)
    whole = model.read_bytes()
    model.write_bytes(bytes(len(whole)))
    with pytest.raises(VerificationFailed, match="is set aside; get or build it again"):
        write_package(store, kept, tmp_path / "out")
    assert not model.exists() and not (tmp_path / "out").exists()
    model.write_bytes(bytes(len(whole)))
    assert keep_package(store, package) == kept and model.read_bytes() == whole


def test_what_is_there_is_not_overwritten_unasked(store: Store, package: Package, tmp_path: Path) -> None:
    kept = keep_package(store, package)
    write_package(store, kept, tmp_path / "p")
    with pytest.raises(UsageError, match="exists"):
        write_package(store, kept, tmp_path / "p")
    write_package(store, kept, tmp_path / "p", overwrite=True)
    assert json.loads((tmp_path / "p" / "manifest.json").read_bytes())["name"] == "ridge"
