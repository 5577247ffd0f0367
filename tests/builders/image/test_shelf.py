"""Layers that were made before."""

from __future__ import annotations

from pathlib import Path

import pytest
from gantline.builders.image.entry import Entry, of_bytes
from gantline.builders.image.shelf import Shelf

from gantline.oci.store import Store


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(Store(tmp_path / "store").prepared(), tmp_path / "layers")


def never() -> list[Entry]:
    raise AssertionError("it was there")


def test_made_once(shelf: Shelf) -> None:
    made, was_there = shelf.layer(["k", 1], "x", lambda: [of_bytes("a", b"1")])
    assert not was_there
    assert shelf.layer(["k", 1], "x", never) == (made, True)


def test_by_all_that_determines_it(shelf: Shelf) -> None:
    first, _ = shelf.layer("k", "x", lambda: [of_bytes("a", b"1")])
    for key, title, compress in (("l", "x", True), ("k", "y", True), ("k", "x", False)):
        other, was_there = shelf.layer(key, title, lambda: [of_bytes("a", b"2")], compress)
        assert not was_there and other.diff_id != first.diff_id


@pytest.mark.parametrize("damage", ["blob", "shorter", "note", "note that is none"])
def test_what_is_gone_or_damaged_is_made_again(shelf: Shelf, damage: str) -> None:
    made, _ = shelf.layer("k", "x", lambda: [of_bytes("a", b"1")])
    blob = shelf.store.path(made.descriptor.digest)
    (note,) = shelf.folder.iterdir()
    if damage == "blob":
        blob.unlink()
    elif damage == "shorter":
        blob.write_bytes(blob.read_bytes()[:-1])
    else:
        note.write_text("[]" if damage == "note" else "{")
    again, was_there = shelf.layer("k", "x", lambda: [of_bytes("a", b"1")])
    assert again == made and not was_there
    assert blob.stat().st_size == made.descriptor.size


def test_nothing_is_remembered_of_what_failed(shelf: Shelf) -> None:
    with pytest.raises(AssertionError):
        shelf.layer("k", "x", never)
    assert not shelf.folder.exists()


def test_where_nothing_can_be_remembered_it_is_made(store: Store, tmp_path: Path) -> None:
    (tmp_path / "layers").write_text("a file in its way")
    for _ in range(2):
        made, reused = Shelf(store, tmp_path / "layers").layer("key", "title", lambda: [of_bytes("a", b"1")])
        assert store.has(made.descriptor.digest) and not reused
