"""Contents: every path of an image and the layer that put it there, from one pass over each layer."""

from __future__ import annotations

import hashlib
import posixpath
import tarfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast

from gantline.errors import BadArtefact
from gantline.home import home
from gantline.oci.image import Image
from gantline.oci.store import Store

from ..image.memory import Memory
from ..image.packed import plain
from ..image.rootfs import inside

FILE, FOLDER, LINK, HARD, OTHER = "file", "folder", "link", "hard", "other"
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_HOPS = 40  # from link to link, as Linux has it
_LONGEST = 64 << 20  # bytes of a file that is read whole
Row = tuple[str, str, int, str]  # path, kind, bytes, where a link leads


@dataclass(frozen=True, slots=True)
class Held:
    """One path of an image. `layer` counts from the base up, from 0."""

    layer: int
    kind: str
    size: int = 0
    link: str = ""


class Contents:
    """The paths of an image, relative to its root."""

    def __init__(self, store: Store, image: Image) -> None:
        self.store = store
        self.image = image
        self.paths: dict[str, Held] = {}
        memory = Memory(home() / "contents", 1)
        for number, layer in enumerate(image.layers):
            key = ["names", layer.digest]  # which the store has checked; a diff_id is what a config says
            rows = memory.recall(key)
            if rows is None:
                rows = list(_rows(store, image, number))
                memory.keep(key, rows)
            self._lay(number, rows)

    def _lay(self, number: int, rows: list[Row]) -> None:
        for path, _, _, _ in rows:
            folder, _, name = path.rpartition("/")
            if name == _OPAQUE:
                self._clear(folder, number)
            elif name.startswith(_WHITEOUT):
                gone = posixpath.join(folder, name.removeprefix(_WHITEOUT))
                self.paths.pop(gone, None)
                self._clear(gone, number)
        for path, kind, size, link in rows:
            if path.rpartition("/")[2].startswith(_WHITEOUT):
                continue
            known = self.paths.get(path)
            if kind != FOLDER or known is None or known.kind != FOLDER:  # a folder is of the layer that made it
                self.paths[path] = Held(number, kind, size, link)

    def _clear(self, folder: str, number: int) -> None:
        for path in [p for p, h in self.paths.items() if p.startswith(folder + "/") and h.layer < number]:
            del self.paths[path]

    def resolve(self, path: str) -> str:
        """Where a path leads through links to folders and files; where it ends, there may be nothing."""
        for _ in range(_HOPS):
            parts = [part for part in path.split("/") if part not in ("", ".")]
            for depth in range(1, len(parts) + 1):
                held = self.paths.get("/".join(parts[:depth]))
                if held is not None and held.kind == LINK:
                    folder = "" if held.link.startswith("/") else "/".join(parts[: depth - 1])
                    path = posixpath.normpath(posixpath.join("/", folder, held.link, *parts[depth:]))
                    break
            else:
                return posixpath.normpath("/".join(parts)) if parts else ""
        return path.strip("/")

    def title(self, layer: int) -> str:
        """What a layer is, as the image's history says it; empty where that says nothing."""
        lines = [h for h in self.image.config.get("history") or [] if isinstance(h, dict) and not h.get("empty_layer")]
        return str(lines[layer].get("created_by") or "") if len(lines) == len(self.image.layers) else ""

    def read(self, layer: int, paths: Collection[str]) -> dict[str, bytes]:
        """Files of one layer, whole, those that are there. BadArtefact for one that is too long for that."""
        found = {}
        for path, file, size in files(self.store, self.image, layer, paths):
            if size > _LONGEST:
                raise BadArtefact(f"{path}: {size} bytes are too long for what it should be")
            found[path] = file.read()
        return found

    def digest(self, path: str) -> str:
        """Of the bytes of a file that is there."""
        for _, file, _ in files(self.store, self.image, self.paths[path].layer, {path}):
            return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        raise BadArtefact(f"{path}: was there, and is not")


def files(store: Store, image: Image, layer: int, paths: Collection[str]) -> Iterator[tuple[str, BinaryIO, int]]:
    """Some files of a layer, each to be read before the next is asked for."""
    missing = set(paths)
    for path, member, tar in _members(store, image, layer):
        if path in missing and member.isreg():
            missing.discard(path)
            yield path, cast(BinaryIO, tar.extractfile(member)), member.size
            if not missing:
                return


def _rows(store: Store, image: Image, layer: int) -> Iterator[Row]:
    for path, member, _ in _members(store, image, layer):
        kinds = {tarfile.DIRTYPE: FOLDER, tarfile.SYMTYPE: LINK, tarfile.LNKTYPE: HARD}
        kind = FILE if member.isreg() else kinds.get(member.type, OTHER)
        yield path, kind, member.size, member.linkname


def _members(store: Store, image: Image, layer: int) -> Iterator[tuple[str, tarfile.TarInfo, tarfile.TarFile]]:
    digest = image.layers[layer].digest
    where = f"layer {digest}"
    with store.path(digest).open("rb") as f, plain(f, where) as stream:
        try:
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                for member in tar:
                    tar.members.clear()  # type: ignore[attr-defined]  # tarfile keeps all that it has read
                    if path := inside(member.name, where):
                        yield path, member, tar
        except tarfile.TarError as e:
            raise BadArtefact(f"{where}: not a tar archive ({e})") from e
