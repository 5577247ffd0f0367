"""Layers as one tar: what is left when each has hidden and replaced what is below it."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from gantline.builders.image.merged import removes, write_merged

from gantline.errors import BadArtefact
from gantline.oci.descriptor import LAYER, Descriptor
from gantline.oci.store import Store

Content = dict[str, bytes | str | None]  # bytes: a file; text: a link, a hard one after "="; None: a folder


def tar_of(content: Content) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, what in content.items():
            info = tarfile.TarInfo(name)
            info.mode, info.uid, info.mtime = 0o640, 7, 5
            if what is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o750
            elif isinstance(what, str):
                info.type = tarfile.LNKTYPE if what.startswith("=") else tarfile.SYMTYPE
                info.linkname = what.removeprefix("=")
            else:
                info.size = len(what)
            tar.addfile(info, io.BytesIO(what) if isinstance(what, bytes) else None)
    return out.getvalue()


def merged(store: Store, target: Path, *contents: Content) -> tuple[list[str], dict[str, bytes | str]]:
    """Names in their order, and what is in them, as tar itself unpacks it."""
    layers: list[Descriptor] = [store.add(tar_of(content), LAYER) for content in contents]
    write_merged(store, layers, target)
    first = target.read_bytes()
    write_merged(store, layers, target)
    assert target.read_bytes() == first
    found: dict[str, bytes | str] = {}
    with tarfile.open(target) as tar:
        for member in tar:
            assert (member.uid, member.mtime) == (7, 5)
            file = None if member.issym() else tar.extractfile(member)
            found[member.name] = file.read() if file is not None else member.linkname
        return tar.getnames(), found


def test_whiteouts_and_what_comes_again(store: Store, tmp_path: Path) -> None:
    below: Content = {"a": None, "a/one": b"1", "a/two": b"2", "b": None, "b/x": b"x", "c": b"c"}
    above: Content = {"a/.wh.one": b"", "b": None, "b/.wh..wh..opq": b"", "b/y": b"y", ".wh.c": b"", "d": b"d"}
    names, found = merged(store, tmp_path / "m.tar.gz", below, above, {"a/one": b"again"})
    assert found == {"a": "", "a/two": b"2", "b": "", "b/y": b"y", "d": b"d", "a/one": b"again"}
    assert names.index("a") < names.index("a/one") and names.index("b") < names.index("b/y")


def test_a_folder_that_becomes_a_link(store: Store, tmp_path: Path) -> None:
    _, found = merged(store, tmp_path / "m.tar.gz", {"lib": None, "lib/x": b"x", "usr": None}, {"lib": "usr"})
    assert found == {"usr": "", "lib": "usr"}


def test_hard_links_whose_first_name_is_gone(store: Store, tmp_path: Path) -> None:
    below: Content = {"one": b"same", "two": "=one", "three": "=one", "kept": b"k", "other": "=kept"}
    _, found = merged(store, tmp_path / "m.tar.gz", below, {".wh.one": b"", "three": b"new"})
    assert found == {"two": b"same", "three": b"new", "kept": b"k", "other": b"k"}


def test_a_hard_link_into_another_layer(store: Store, tmp_path: Path) -> None:
    with pytest.raises(BadArtefact, match="'two': a hard link to 'one', of another layer"):
        merged(store, tmp_path / "m.tar.gz", {"one": b"1"}, {"two": "=one"})


def test_whether_there_is_any(store: Store) -> None:
    plain, hiding = (store.add(tar_of({name: b""}), LAYER) for name in ("a.wh.b", "x/.wh.y"))
    assert not removes(store, [plain]) and removes(store, [plain, hiding])
