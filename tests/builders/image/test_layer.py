"""Layers depend on their entries alone."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import random
import tarfile
from pathlib import Path

import pytest
from gantline.builders.image.entry import PROGRAM, Entry, of_bytes, of_file
from gantline.builders.image.layer import Layer, titled, write_layer
from hypothesis import given
from hypothesis import strategies as st

from gantline.errors import BadArtefact
from gantline.oci.descriptor import LAYER, LAYER_GZIP
from gantline.oci.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store").prepared()


def read(store: Store, layer: Layer) -> bytes:
    data = store.path(layer.descriptor.digest).read_bytes()
    return gzip.decompress(data) if layer.descriptor.media_type == LAYER_GZIP else data


def entries() -> list[Entry]:
    return [
        of_bytes("opt/b/program", b"#!/bin/sh\n", PROGRAM),
        of_bytes("opt/a.txt", b"text"),
        of_bytes("opt/" + "long" * 40, b"x"),
        of_bytes("opt/\u00fcml\u00e4ut", b"y"),
        Entry("opt/link", link="/usr/bin/python3"),
        Entry("var/empty"),
    ]


def test_what_a_tar_says(store: Store) -> None:
    layer = write_layer(store, entries(), "ours")
    plain = read(store, layer)
    assert layer.diff_id == "sha256:" + hashlib.sha256(plain).hexdigest()
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        members = tar.getmembers()
        texts = {m.name: tar.extractfile(m).read() for m in members if m.isfile()}  # type: ignore[union-attr]
    names = [m.name for m in members]
    assert names == sorted(names, key=lambda n: n.split("/")) and len(set(names)) == len(names)
    assert [m.name for m in members if m.isdir()] == ["opt", "opt/b", "var", "var/empty"], "parents before what is in"
    assert texts["opt/a.txt"] == b"text"
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members} == {(0, 0, "", "", 0)}
    assert {m.name: m.mode for m in members if not m.isdir()} == {
        "opt/a.txt": 0o644, "opt/b/program": 0o755, "opt/link": 0o777, "opt/" + "long" * 40: 0o644,
        "opt/\u00fcml\u00e4ut": 0o644,
    }  # fmt: skip
    (link,) = (m for m in members if m.issym())
    assert link.linkname == "/usr/bin/python3"
    assert layer.files == 4 and layer.unpacked == 16


def test_plain_or_packed_it_is_one_layer(store: Store) -> None:
    packed, plain = write_layer(store, entries(), "x"), write_layer(store, entries(), "x", compress=False)
    assert packed.diff_id == plain.diff_id == plain.descriptor.digest
    assert (packed.descriptor.media_type, plain.descriptor.media_type) == (LAYER_GZIP, LAYER)


def test_neither_order_nor_times_matter(store: Store, tmp_path: Path) -> None:
    made = set()
    for i in range(3):
        path = tmp_path / f"{i}"
        path.write_bytes(b"same")
        os.utime(path, (i, i))
        listed = [*entries(), of_file("opt/file", path)]
        random.Random(i).shuffle(listed)
        made.add(write_layer(store, listed, "x").descriptor.digest)
    assert len(made) == 1


def test_two_of_one_path(store: Store) -> None:
    with pytest.raises(BadArtefact, match="two files of one layer would be a/b"):
        write_layer(store, [of_bytes("a/b", b"1"), of_bytes("a/b", b"2")], "x")
    assert list((store.root / "blobs" / "sha256").iterdir()) == []


def test_it_is_remembered_as_it_was(store: Store) -> None:
    layer = titled(write_layer(store, entries(), "x"), "y")
    assert Layer.from_json(layer.to_json(), "here") == layer
    assert layer.title == "y" and "y" in layer.descriptor.annotations.values()


@given(st.dictionaries(st.sampled_from(["a", "b/c", "b/d", "e/f/g", "h"]), st.binary(max_size=600), min_size=1))
def test_whatever_the_bytes(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> None:
    store = Store(tmp_path_factory.mktemp("store")).prepared()
    layer = write_layer(store, [of_bytes(path, data) for path, data in files.items()], "x")
    with tarfile.open(fileobj=io.BytesIO(read(store, layer))) as tar:
        found = {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}  # type: ignore[union-attr]
    assert found == files
