"""Unpack: an image's layers as files below one directory, made once for each image.

Whiteouts hide what is below. No link leads out of the directory: absolute ones are relative to it, for the writer
as for whoever runs in it. Devices are left out, and nothing runs as its owner.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

from gantline.builders.image.packed import plain
from gantline.builders.image.rootfs import inside

from gantline.blobs import canonical_json
from gantline.errors import BadArtefact, UsageError, VerificationFailed
from gantline.file_lock import only_one
from gantline.oci.image import Image
from gantline.oci.store import Store

MOUNTS = ("dev/null", "dev/zero", "dev/full", "dev/random", "dev/urandom", "etc/resolv.conf", "etc/hosts")  # files
FOLDERS = ("proc", "sys", "dev/shm", "tmp", "run/gantline/keys")
KEPT = 3  # images that nothing runs of
_WORK = ".unpacking."
_ID = re.compile(r"[0-9a-f]{64}")
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_HOPS = 40  # from link to link, as Linux has it
_PIECE = 1 << 20


def unpacked(store: Store, image: Image, folder: Path, used: Callable[[], set[str]] = set) -> Path:
    """`folder`/ID, with all files of the image. Errors leave nothing: BadArtefact, VerificationFailed, UsageError.

    Of others, those that `used` does not name (IDs) go, but for the last few.
    """
    target = folder / image.id.removeprefix("sha256:")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with only_one(folder / ".lock"):
            collect(folder, {one.removeprefix("sha256:") for one in (image.id, *used())})
            if not target.is_dir():
                _write(store, image, folder, target)
            os.utime(target)  # used now
    except OSError as e:
        raise UsageError(f"{folder}: cannot be written: {e.strerror}; set GANTLINE_HOME to another place") from e
    return target


def _write(store: Store, image: Image, folder: Path, target: Path) -> None:
    work = Path(tempfile.mkdtemp(prefix=_WORK, dir=folder))
    try:
        root = Root(work)
        for layer, diff_id in zip(image.layers, image.diff_ids, strict=True):
            try:
                with store.path(layer.digest).open("rb") as f, plain(f, f"layer {layer.digest}") as stream:
                    root.lay(stream, diff_id)
            except (BadArtefact, VerificationFailed):
                store.check(layer.digest)  # a blob that the disk has damaged, rather than an image made wrong
                raise
        for path in FOLDERS:
            root.folder(path)
        for path in MOUNTS:
            root.file(path)
        (work / ".image.json").write_bytes(canonical_json(image.config))
        root.finish()
        work.chmod(0o755)
        work.rename(target)
    except BaseException:
        _remove(work)
        raise


def collect(folder: Path, used: set[str]) -> None:
    """Remove what was left half written, and of what is not used all but the `KEPT` that were used last."""
    if not os.access(folder, os.W_OK):
        return
    for left in folder.glob(f"{_WORK}*"):
        _remove(left)
    there = [path for path in folder.iterdir() if _ID.fullmatch(path.name) and path.name not in used]
    for path in sorted(there, key=lambda p: p.stat().st_mtime, reverse=True)[KEPT:]:
        gone = path.with_name(f"{_WORK}{path.name}")  # whole or not there
        path.rename(gone)
        for one in (gone, path.with_name(f"{path.name}.host")):
            _remove(one)


def _remove(path: Path) -> None:
    for folder, names, _ in os.walk(path):
        for name in names:
            if not os.path.islink(os.path.join(folder, name)):
                os.chmod(os.path.join(folder, name), 0o700)
    shutil.rmtree(path, ignore_errors=True)


class _Read:
    """A stream that is hashed as it is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.hash.update(data)
        return data


class Root:
    """A directory that is the root of a file system to be."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._modes: dict[Path, int] = {}  # of folders, which are writable until all is there
        self._as_root = os.geteuid() == 0

    def lay(self, stream: BinaryIO, diff_id: str) -> None:
        """Put a layer, a plain tar, upon what is there. VerificationFailed for another than `diff_id`."""
        read = _Read(stream)
        brought: set[Path] = set()
        try:
            with tarfile.open(fileobj=cast(BinaryIO, read), mode="r|") as tar:
                for member in tar:
                    self._member(tar, member, brought, diff_id)
        except tarfile.TarError as e:
            raise BadArtefact(f"layer {diff_id}: not a whole tar archive ({e})") from e
        while read.read(_PIECE):
            pass
        if (found := "sha256:" + read.hash.hexdigest()) != diff_id:
            raise VerificationFailed(f"layer {diff_id}: its files have the digest {found}")

    def _member(self, tar: tarfile.TarFile, member: tarfile.TarInfo, brought: set[Path], where: str) -> None:
        path = inside(member.name, f"layer {where}")
        if not path:
            return
        folder, _, name = path.rpartition("/")
        if name == _OPAQUE:
            self._hide(list(self.resolve(folder).iterdir()) if self.resolve(folder).is_dir() else [], brought)
            return
        if name.startswith(_WHITEOUT):
            self._hide([self.resolve(folder) / name.removeprefix(_WHITEOUT)], brought)
            return
        at = self.folder(folder) / name
        self._make(tar, member, at, where)
        while at != self.path:
            brought.add(at)
            at = at.parent

    def _make(self, tar: tarfile.TarFile, member: tarfile.TarInfo, at: Path, where: str) -> None:
        there = os.path.lexists(at)
        if member.isdir():
            if there and (at.is_symlink() or not at.is_dir()):
                self._take_away(at)
            at.mkdir(exist_ok=True)
            self._modes[at] = member.mode & 0o777
        else:
            if there:
                self._take_away(at)
            if member.issym():
                at.symlink_to(member.linkname)
            elif member.islnk():
                folder, _, name = inside(member.linkname, f"layer {where}").rpartition("/")
                source = self.resolve(folder) / name
                if not os.path.lexists(source) or (source.is_dir() and not source.is_symlink()):
                    raise BadArtefact(f"layer {where}: a hard link to what is no file: {member.linkname!r:.200}")
                os.link(source, at, follow_symlinks=False)
                return
            elif member.isreg():
                data = tar.extractfile(member)
                assert data is not None
                with at.open("xb") as out:
                    shutil.copyfileobj(data, out, _PIECE)
                    os.fchmod(out.fileno(), member.mode & 0o777)
            else:
                return
        if self._as_root:
            os.lchown(at, member.uid, member.gid)

    def _hide(self, paths: list[Path], brought: set[Path]) -> None:
        """What is below goes; what this layer has brought stays, in whatever order it says so."""
        for path in paths:
            if path not in brought:
                if os.path.lexists(path):
                    self._take_away(path)
            elif path.is_dir() and not path.is_symlink():
                self._hide(list(path.iterdir()), brought)

    def _take_away(self, path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
            self._modes = {p: m for p, m in self._modes.items() if not p.is_relative_to(path)}
        else:
            path.unlink()

    def resolve(self, path: str) -> Path:
        """Where a folder's path leads through links, all of them below the root; what is not there is as it is said."""
        todo = path.split("/")[::-1]
        found: list[str] = []
        hops = 0
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                found = found[:-1]
                continue
            at = self.path.joinpath(*found, part)
            if at.is_symlink():
                hops += 1
                if hops > _HOPS:
                    raise BadArtefact(f"a link that leads in a circle: {path!r:.200}")
                link = os.readlink(at)
                found = [] if link.startswith("/") else found
                todo.extend(link.split("/")[::-1])
            else:
                found.append(part)
        return self.path.joinpath(*found)

    def folder(self, path: str) -> Path:
        """The folder of a path, made if need be."""
        at = self.resolve(path)
        try:
            at.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as e:
            raise BadArtefact(f"a file where a folder is needed: {path!r:.200}") from e
        return at

    def file(self, path: str) -> None:
        """An empty file for something to be mounted on, unless something is there."""
        folder, _, name = path.rpartition("/")
        at = self.folder(folder) / name
        if at.is_symlink():
            at.unlink()
        at.touch()

    def finish(self) -> None:
        """Folders get their permissions; their owner may always look into them."""
        for path, mode in self._modes.items():
            path.chmod(stat.S_IMODE(mode) if self._as_root else mode | 0o700)
