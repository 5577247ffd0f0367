"""Every path of an image, through layers that replace, remove and lead elsewhere."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest
from gantline.builders.evidence.contents import Contents
from gantline.builders.evidence.explanation import explain

from gantline.errors import NotFound
from gantline.oci.descriptor import LAYER
from gantline.oci.image import Image, write_manifest
from gantline.oci.store import Store


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path))
    return Store.of_user()


def layer(*members: tuple[str, str | bytes | None]) -> bytes:
    """A tar: bytes make a file, text a link to it (`=text` a hard one), None a folder."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, what in members:
            info = tarfile.TarInfo(path)
            if isinstance(what, bytes):
                info.size = len(what)
                tar.addfile(info, io.BytesIO(what))
                continue
            info.type = tarfile.DIRTYPE
            if what is not None:
                info.type = tarfile.LNKTYPE if what.startswith("=") else tarfile.SYMTYPE
                info.linkname = what.removeprefix("=")
            tar.addfile(info)
    return out.getvalue()


def image(store: Store, *layers: bytes) -> Image:
    kept = tuple(store.add(data, LAYER) for data in layers)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [d.digest for d in kept]},
    }
    return write_manifest(store, config, kept, {})


BASE = layer(
    ("usr", None), ("usr/lib", None), ("usr/lib/a", b"1"), ("usr/lib/b", b"22"), ("lib", "usr/lib"), ("top", b"")
)


def paths(store: Store, *layers: bytes) -> dict[str, int]:
    """Of each path that is there the number of its layer."""
    return {path: held.layer for path, held in Contents(store, image(store, *layers)).paths.items()}


def test_what_takes_a_folders_place_takes_all_in_it(store: Store) -> None:
    found = Contents(store, image(store, BASE, layer(("usr/lib", b"no folder"))))
    assert "usr/lib/a" not in found.paths and found.paths["usr/lib"].over == 0
    assert found.removed == {"usr/lib/a": 1, "usr/lib/b": 1}
    again = paths(store, BASE, layer(("usr/lib", "elsewhere")), layer(("usr/lib", None), ("usr/lib/c", b"")))
    assert again == {"usr": 0, "lib": 0, "top": 0, "usr/lib": 2, "usr/lib/c": 2}


def test_a_file_below_a_link_lies_where_the_link_leads(store: Store) -> None:
    one = image(store, BASE, layer(("lib/a", b"333"), ("lib/c", b"4")))
    found = Contents(store, one)
    assert found.paths["usr/lib/a"].layer == 1 and "lib/a" not in found.paths
    assert found.read(1, ["usr/lib/a"]) == {"usr/lib/a": b"333"}
    told = explain(store, one, "/lib/a", "x")
    assert (told.path, told.layer, told.about["bytes"]) == ("/usr/lib/a", 2, "3")
    assert told.about["digest"] == "sha256:" + hashlib.sha256(b"333").hexdigest()
    assert told.about["replaces"].startswith("what layer 1 has there")


def test_what_a_layer_removes(store: Store) -> None:
    gone = layer(("usr/lib/.wh.a", b""), ("top", b"new"))
    one = image(store, BASE, gone)
    told = explain(store, one, "/lib/a", "x")
    assert told.kind == "left out" and "layer 2 removes it" in told.source
    assert "usr/lib/b" in Contents(store, one).paths
    with pytest.raises(NotFound, match="neither a rule nor a layer has taken it away"):
        explain(store, one, "/lib/never", "x")
    emptied = paths(store, BASE, layer(("lib/.wh..wh..opq", b""), ("lib/d", b"")))
    assert emptied == {"usr": 0, "usr/lib": 0, "lib": 0, "top": 0, "usr/lib/d": 1}
    assert paths(store, BASE, layer((".wh.usr", b""))) == {"lib": 0, "top": 0}
    assert paths(store, BASE, layer((".wh..wh..opq", b""), ("x", b""))) == {"x": 1}


@pytest.mark.parametrize("path", ["/", "", ".", "//", "/usr/..", "../.."])
def test_the_root(store: Store, path: str) -> None:
    told = explain(store, image(store, BASE), path, "x")
    assert (told.path, told.kind, told.layer) == ("/", "folder", 1) and told.about["holds"] == "3 files, 3 bytes"


@pytest.mark.parametrize("path", ["usr/lib", "/usr/lib/", "//usr//lib", "lib/", "../usr/./lib"])
def test_a_folder_however_it_is_spelled(store: Store, path: str) -> None:
    told = explain(store, image(store, BASE), path, "x")
    assert told.path == "/usr/lib" and told.about["is a"] == "directory" and told.about["holds"] == "2 files, 3 bytes"


def test_links(store: Store) -> None:
    links = layer(
        ("to", "usr/lib/a"), ("nowhere", "usr/none"), ("round", "about"), ("about", "round"), ("hard", "=top")
    )
    one = image(store, BASE, links)
    assert explain(store, one, "/to", "x").about["by link"].startswith("/to -> usr/lib/a, of ")
    told = explain(store, one, "/nowhere", "x")
    assert told.path == "/nowhere" and told.layer == 2 and "nothing" in told.about["leads to"]
    assert explain(store, one, "/round", "x").about["is a"] == "link"
    assert explain(store, one, "/hard", "x").about["link to"] == "/top"
