"""Merged: layers that remove files as one tar of what is left, for whoever can only add."""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gantline.errors import BadArtefact
from gantline.oci.descriptor import Descriptor
from gantline.oci.store import Store

from .packed import plain
from .press import LEVEL, PIECE
from .rootfs import inside

_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"


def removes(store: Store, layers: Sequence[Descriptor]) -> bool:
    """Whether any of them hides what is below it."""
    for layer in layers:
        with _tar(store, layer) as tar:
            if any(path.rpartition("/")[2].startswith(_WHITEOUT) for path, _ in _members(tar, layer)):
                return True
    return False


def write_merged(store: Store, layers: Sequence[Descriptor], target: Path) -> None:
    """Write one gzipped tar with the files of all, each as the topmost layer has it; the same bytes each time.

    BadArtefact for a hard link to what is in no layer that it could be in.
    """
    owners = _owners(store, layers)
    with target.open("wb") as raw:
        packed = gzip.GzipFile(filename="", mode="wb", compresslevel=LEVEL, fileobj=raw, mtime=0)
        with packed, tarfile.TarFile(None, "w", packed, format=tarfile.PAX_FORMAT) as out:
            for number, layer in enumerate(layers):
                with _tar(store, layer) as tar:
                    for path, member in _members(tar, layer):
                        if owners.get(path) == number:
                            _add(out, tar, member, number, owners)


def _owners(store: Store, layers: Sequence[Descriptor]) -> dict[str, int]:
    """By path, the layer that it is taken from."""
    owners: dict[str, int] = {}
    folders: set[str] = set()
    for number, layer in enumerate(layers):
        with _tar(store, layer) as tar:
            members = [(path, member.isdir()) for path, member in _members(tar, layer)]
        for path, _ in members:  # what a layer removes is below it, wherever in the layer it says so
            folder, _, name = path.rpartition("/")
            if name == _OPAQUE:
                _forget(owners, folder, itself=False)
            elif name.startswith(_WHITEOUT):
                _forget(owners, f"{folder}/{name.removeprefix(_WHITEOUT)}".strip("/"))
        for path, is_folder in members:
            if path.rpartition("/")[2].startswith(_WHITEOUT):
                continue
            if not is_folder and path in folders and path in owners:
                _forget(owners, path)
            (folders.add if is_folder else folders.discard)(path)
            owners[path] = number
    return owners


def _forget(owners: dict[str, int], path: str, itself: bool = True) -> None:
    for known in [one for one in owners if one.startswith(f"{path}/") or (itself and one == path)]:
        del owners[known]


def _add(
    out: tarfile.TarFile, tar: tarfile.TarFile, member: tarfile.TarInfo, number: int, owners: dict[str, int]
) -> None:
    if member.islnk() and owners.get(inside(member.linkname, "layer")) != number:
        try:
            data = tar.extractfile(member)  # its first name is gone, or is another file by now
        except KeyError as e:
            raise BadArtefact(f"{member.name!r:.200}: a hard link to {member.linkname!r:.200}, of another layer") from e
        assert data is not None
        member.type, member.linkname, member.size = tarfile.REGTYPE, "", data.seek(0, os.SEEK_END)
        data.seek(0)
        out.addfile(member, data)
        return
    out.addfile(member, tar.extractfile(member) if member.isreg() else None)


def _members(tar: tarfile.TarFile, layer: Descriptor) -> Iterator[tuple[str, tarfile.TarInfo]]:
    for member in tar:
        if path := inside(member.name, f"layer {layer.digest}"):
            yield path, member


@contextmanager
def _tar(store: Store, layer: Descriptor) -> Iterator[tarfile.TarFile]:
    """A layer, plain, in a file that goes away."""
    with tempfile.TemporaryFile() as work:
        with store.path(layer.digest).open("rb") as f, plain(f, f"layer {layer.digest}") as stream:
            shutil.copyfileobj(stream, work, PIECE)
        work.seek(0)
        with tarfile.open(fileobj=work, mode="r:") as tar:
            yield tar
