"""Layer: entries as one tar that depends on nothing but them, so that two builds make the same bytes.

Sorted, directories before what is in them; owner root, time 0, modes of two kinds, no names of users: what a build
machine is like does not show (https://reproducible-builds.org/docs/archives/).
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, BinaryIO, cast

from gantline.errors import BadArtefact
from gantline.oci.descriptor import LAYER, LAYER_GZIP, Descriptor
from gantline.oci.store import Store

from .entry import FOLDER, Entry
from .press import PIECE, Press, pressed

TITLE = "dev.gantline.layer"  # an annotation: what the layer is


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer in a store. `diff_id` is the digest of its plain tar, `unpacked` the sum of its files, both in bytes."""

    descriptor: Descriptor
    diff_id: str
    unpacked: int
    files: int
    title: str

    def to_json(self) -> dict[str, Any]:
        """To be remembered by what it was made of."""
        return {
            "descriptor": self.descriptor.to_json(), "diff_id": self.diff_id, "unpacked": self.unpacked,
            "files": self.files, "title": self.title,
        }  # fmt: skip

    @classmethod
    def from_json(cls, tree: dict[str, Any], where: str) -> Layer:
        return cls(
            Descriptor.from_json(tree["descriptor"], where), str(tree["diff_id"]), int(tree["unpacked"]),
            int(tree["files"]), str(tree["title"]),
        )  # fmt: skip


def write_layer(store: Store, entries: Iterable[Entry], title: str, compress: bool = True) -> Layer:
    """Write a layer into the store. BadArtefact for two entries of one path."""
    listed = sorted(entries, key=lambda e: e.path.split("/"))
    _check_apart(listed)
    with store.receive() as incoming, pressed(incoming, compress) as plain, written(plain) as tar:
        _fill(tar, listed)
    kind = LAYER_GZIP if compress else LAYER
    described = Descriptor(kind, incoming.digest, incoming.size, annotations={TITLE: title})
    files = sum(e.open is not None for e in listed)
    return Layer(described, plain.digest, sum(e.size for e in listed), files, title)


def written(file: Press) -> tarfile.TarFile:
    """A tar to be filled, in the form of all layers."""
    return tarfile.TarFile(None, "w", cast(BinaryIO, file), format=tarfile.PAX_FORMAT, copybufsize=PIECE)


def _check_apart(entries: list[Entry]) -> None:
    for one, other in pairwise(entries):
        if one.path == other.path:
            raise BadArtefact(f"two files of one layer would be {one.path}")


def _fill(tar: tarfile.TarFile, entries: list[Entry]) -> None:
    folders: set[str] = {e.path for e in entries if e.open is None and not e.link}
    made: set[str] = set()
    for entry in entries:
        parts = entry.path.split("/")
        for depth in range(1, len(parts)):
            parent = "/".join(parts[:depth])
            if parent not in made and parent not in folders:
                tar.addfile(_info(Entry(parent, mode=FOLDER)))
            made.add(parent)
        made.add(entry.path)
        info = _info(entry)
        if entry.open is None:
            tar.addfile(info)
            continue
        with entry.open() as source:
            tar.addfile(info, source)


def _info(entry: Entry) -> tarfile.TarInfo:
    info = tarfile.TarInfo(entry.path)
    info.mode = entry.mode
    if entry.link:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
    elif entry.open is None:
        info.type, info.mode = tarfile.DIRTYPE, entry.mode if entry.mode & 0o111 else FOLDER
    else:
        info.size = entry.size
    return info


def titled(layer: Layer, title: str) -> Layer:
    """The same layer under another title."""
    notes = {**layer.descriptor.annotations, TITLE: title}
    return replace(layer, title=title, descriptor=replace(layer.descriptor, annotations=notes))
