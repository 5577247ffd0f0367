"""Contents: every path of an image, what is there and which layer put it there, from one pass over each layer."""

from __future__ import annotations

import hashlib
import posixpath
import tarfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO, cast

from gantline.errors import BadArtefact
from gantline.home import home
from gantline.oci.image import Image
from gantline.oci.store import Store

from ..image.memory import Memory
from ..image.packed import plain
from ..image.rootfs import check_size, inside

FILE, FOLDER, LINK, HARD, OTHER = "file", "folder", "link", "hard", "other"
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_HOPS = 40  # from link to link, as Linux has it
_LONGEST = 64 << 20  # bytes of a file that is read whole
_MOST = 2_000_000  # files of a layer
_VERSION = 2  # of what is remembered
Row = tuple[str, str, int, str, str, str]  # path, kind, bytes, where a link leads, mode and owners, digest


@dataclass(frozen=True, slots=True)
class Held:
    """One path of an image. `layer` counts from the base up, from 0; `over` is the layer whose file it replaced, or -1.

    `rights`: mode, user and group, `755 0:0`; `digest` is a file's, by whichever of its names.
    """

    layer: int
    kind: str
    size: int = 0
    link: str = ""
    rights: str = ""
    digest: str = ""
    over: int = -1

    @property
    def what(self) -> tuple[object, ...]:
        """What tells it from another: not where it came from, and not which of a file's names is the first."""
        if self.kind in (FILE, HARD):
            return FILE, self.size, self.digest, self.rights
        return self.kind, self.link, self.rights if self.kind != LINK else ""


class Contents:
    """The paths of an image, relative to its root. `removed`: the layer that took away what a lower one had there."""

    def __init__(self, store: Store, image: Image) -> None:
        self.store = store
        self.image = image
        self.paths: dict[str, Held] = {}
        self.removed: dict[str, int] = {}
        self._told: dict[tuple[int, str], str] = {}  # layer and path -> as its tar calls it, where a link led elsewhere
        memory = Memory(home() / "contents", _VERSION)
        for number, layer in enumerate(image.layers):
            key = ["names", layer.digest]  # which the store has checked; a diff_id is what a config says
            rows = memory.recall(key)
            if rows is None:
                rows = list(_rows(store, image, number))
                memory.keep(key, rows)
            self._lay(number, rows)

    def _lay(self, number: int, rows: list[Row]) -> None:
        gone: set[str] = set()
        emptied: set[str] = set()
        for path, *_ in rows:  # what a layer removes is below it, wherever in the layer it says so
            folder, _, name = path.rpartition("/")
            if name == _OPAQUE:
                emptied.add(self.resolve(folder))
            elif name.startswith(_WHITEOUT):
                gone.add(posixpath.join(self.resolve(folder), name.removeprefix(_WHITEOUT)))
        self._remove(number, gone, emptied)
        replaced: set[str] = set()
        places: dict[str, str] = {}
        for row in rows:
            if not row[0].rpartition("/")[2].startswith(_WHITEOUT):
                replaced |= self._put(number, row, places)
        self._remove(number, set(), replaced)

    def _put(self, number: int, row: Row, places: dict[str, str]) -> set[str]:
        """The folder whose place it takes, and so that of all that is in it. `places` knows where folders lie."""
        told, kind, size, link, rights, digest = row
        folder, _, name = told.rpartition("/")
        if folder not in places:
            places[folder] = self.resolve(folder)
        path = posixpath.join(places[folder], name)
        if path != told:
            self._told[number, path] = told
        if kind == LINK:
            places.clear()  # it may lead elsewhere from now on
        known = self.paths.get(path)
        if kind == HARD and (first := self.paths.get(link)) is not None:
            size, digest, rights = first.size, first.digest, first.rights
        if known is not None and kind == known.kind == FOLDER:
            self.paths[path] = replace(known, rights=rights)  # a folder is of the layer that made it
            return set()
        over = known.layer if known is not None and known.layer != number else -1
        self.paths[path] = Held(number, kind, size, link, rights, digest, over)
        self.removed.pop(path, None)
        return {path} if known is not None and known.kind == FOLDER else set()

    def _remove(self, number: int, gone: set[str], emptied: set[str]) -> None:
        """Forget what lower layers have at `gone`, below it, and below `emptied`."""
        if not gone and not emptied:
            return
        roots = gone | emptied
        for path in [p for p, held in self.paths.items() if held.layer < number]:
            if path in gone or any(path[:at] in roots for at, c in enumerate(path) if c == "/") or "" in emptied:
                del self.paths[path]
                self.removed[path] = number

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

    def link_at(self, path: str) -> str:
        """The path of the link that a path is itself, folders on the way to it resolved; empty if it is none."""
        folder, _, name = path.strip("/").rpartition("/")
        at = posixpath.join(self.resolve(folder), name)
        held = self.paths.get(at)
        return at if held is not None and held.kind == LINK else ""

    def below(self, folder: str) -> Iterator[tuple[str, Held]]:
        """All that a folder holds, at any depth; of the empty path, all there is."""
        start = f"{folder}/" if folder else ""
        return ((path, held) for path, held in self.paths.items() if path.startswith(start))

    def title(self, layer: int) -> str:
        """What a layer is, as the image's history says it; empty where that says nothing."""
        lines = [h for h in self.image.config.get("history") or [] if isinstance(h, dict) and not h.get("empty_layer")]
        return str(lines[layer].get("created_by") or "") if len(lines) == len(self.image.layers) else ""

    def files(self, layer: int, paths: Collection[str]) -> Iterator[tuple[str, BinaryIO, int]]:
        """As the function of that name; links on the way to a file do not matter."""
        told = {self._told.get((layer, path), path): path for path in paths}
        for path, file, size in files(self.store, self.image, layer, told):
            yield told[path], file, size

    def read(self, layer: int, paths: Collection[str]) -> dict[str, bytes]:
        """Files of one layer, whole, those that are there. BadArtefact for one that is too long for that."""
        found = {}
        for path, file, size in self.files(layer, paths):
            if size > _LONGEST:
                raise BadArtefact(f"{path}: {size} bytes are too long for what it should be")
            found[path] = file.read()
        return found


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
    kinds = {tarfile.DIRTYPE: FOLDER, tarfile.SYMTYPE: LINK, tarfile.LNKTYPE: HARD}
    where = f"layer {image.layers[layer].digest}"
    for path, member, tar in _members(store, image, layer):
        rights = f"{member.mode & 0o7777:o} {member.uid}:{member.gid}"
        if member.isreg():
            check_size(member.size, where)  # of a sparse one, holes included
            digest = hashlib.file_digest(tar.extractfile(member), "sha256").hexdigest()  # type: ignore[arg-type]
            yield path, FILE, member.size, "", rights, f"sha256:{digest}"
            continue
        kind = kinds.get(member.type, OTHER)
        yield path, kind, 0, inside(member.linkname, where) if kind == HARD else member.linkname, rights, ""


def _members(store: Store, image: Image, layer: int) -> Iterator[tuple[str, tarfile.TarInfo, tarfile.TarFile]]:
    digest = image.layers[layer].digest
    where = f"layer {digest}"
    with store.path(digest).open("rb") as f, plain(f, where) as stream:
        try:
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                for number, member in enumerate(tar):
                    if number > _MOST:
                        raise BadArtefact(f"{where}: more than {_MOST} files")
                    tar.members.clear()  # type: ignore[attr-defined]  # tarfile keeps all that it has read
                    if path := inside(member.name, where):
                        yield path, member, tar
        except tarfile.TarError as e:
            raise BadArtefact(f"{where}: not a tar archive ({e})") from e
