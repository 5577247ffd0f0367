"""Deb: a Debian package taken apart here (deb(5): an ar archive of two tars), so that images need no dpkg.

Its files become entries of a layer; what only people read is left out, save for copyright, which goes wherever the
files go. Its scripts are not run: what has one says so in its notes.
"""

from __future__ import annotations

import io
import re
import shutil
import tarfile
import tempfile
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

from gantline.errors import BadArtefact

from .control import stanzas
from .entry import FILE, PROGRAM, Entry, of_bytes
from .packed import plain
from .rootfs import inside

_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_MAGIC, _HEAD = b"!<arch>\n", 60
_PRUNED = re.compile(
    r"usr/share/(man|info|locale|lintian|bug|doc-base|gtk-doc|help|pkgconfig|aclocal|zoneinfo-icu)/.+"
    r"|usr/share/doc/(?!.*/copyright$).+|usr/include/.+|usr/lib/.*(\.a|\.la|/pkgconfig/.+|/cmake/.+)"
)
_SCRIPTS = ("preinst", "postinst")
_IN_MEMORY = 32 << 20
_LONGEST_CONTROL = 16 << 20
_MOST = 200_000  # files of one package
VERSION = 1  # of the rules: a change of them makes other layers


@dataclass(frozen=True, slots=True)
class Deb:
    """A package as a lock pins it."""

    name: str
    version: str
    architecture: str
    url: str
    digest: str
    size: int

    def to_json(self) -> dict[str, Any]:
        """As it stands in a lock, in [[tool.gantline.debs]]."""
        return {
            "name": self.name, "version": self.version, "architecture": self.architecture, "url": self.url,
            "size": self.size, "sha256": self.digest.removeprefix("sha256:"),
        }  # fmt: skip

    @classmethod
    def from_json(cls, tree: Any, where: str) -> Deb:
        """BadArtefact (naming `where`) for anything else."""
        try:
            name, version, architecture, url = (str(tree[key]) for key in ("name", "version", "architecture", "url"))
            found = cls(name, version, architecture, url, f"sha256:{tree['sha256']}", int(tree["size"]))
        except (KeyError, TypeError, ValueError) as e:
            raise BadArtefact(f"{where}: a Debian package is name, version, architecture, url, size and sha256") from e
        if not re.fullmatch(r"sha256:[0-9a-f]{64}", found.digest) or not _PACKAGE.fullmatch(found.name):
            raise BadArtefact(f"{where}: package {found.name!r:.80} with digest {found.digest!r:.80}")
        return found


@dataclass(frozen=True, slots=True)
class Content:
    """`control` are its fields; `scripts` those that dpkg would run when it is installed."""

    control: dict[str, str]
    entries: tuple[Entry, ...]
    scripts: tuple[str, ...]


def read_deb(path: Path, place: Callable[[str], str]) -> Content:
    """What a package file holds; `place` says where a path comes to lie in the base. BadArtefact for a damaged one."""
    where = str(path)
    try:
        with path.open("rb") as f:
            parts = dict(_parts(f, where))
            control = _tar(f, parts, "control.tar", where)
            fields, scripts, text = _control(control, where)
            data = _tar(f, parts, "data.tar", where)
        entries = list(_entries(data, where, place))
    except tarfile.TarError as e:
        raise BadArtefact(f"{where}: not a Debian package that can be read ({e})") from e
    # where scanners look for what an image holds besides dpkg's own list
    entries.append(of_bytes(place(f"var/lib/dpkg/status.d/{fields['Package']}"), text))
    return Content(fields, tuple(entries), scripts)


def _parts(file: BinaryIO, where: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """The members of an ar archive: name, and where in the file it is."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise BadArtefact(f"{where}: not a Debian package")
    end = file.seek(0, io.SEEK_END)
    at = len(_MAGIC)
    while at + _HEAD <= end:
        file.seek(at)
        head = file.read(_HEAD)
        length = head[48:58].decode("ascii", "replace").strip()
        at += _HEAD
        if head[58:] != b"`\n" or not length.isdecimal() or at + int(length) > end:
            raise BadArtefact(f"{where}: a Debian package that is cut off or damaged")
        yield head[:16].decode("ascii", "replace").strip().rstrip("/"), (at, int(length))
        at += int(length) + int(length) % 2


def _tar(file: BinaryIO, parts: dict[str, tuple[int, int]], name: str, where: str) -> BinaryIO:
    """A member unpacked; it is closed when nobody has it any more."""
    found = [span for member, span in parts.items() if member.partition(".tar")[0] == name.removesuffix(".tar")]
    if len(found) != 1:
        raise BadArtefact(f"{where}: a Debian package has one {name}, not {len(found)}")
    work = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 entries read from it later
    try:
        with plain(cast(BinaryIO, _Slice(file, *found[0])), where) as stream:
            shutil.copyfileobj(stream, work, 1 << 20)
    except BaseException:
        work.close()
        raise
    shared = _Shared(cast(BinaryIO, work))
    weakref.finalize(shared, work.close)
    return cast(BinaryIO, shared)


def _control(file: BinaryIO, where: str) -> tuple[dict[str, str], tuple[str, ...], bytes]:
    fields: dict[str, str] = {}
    text, scripts = b"", set()
    file.seek(0)
    with tarfile.open(fileobj=file, mode="r:") as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            if name == "control" and member.isreg() and member.size <= _LONGEST_CONTROL:
                data = tar.extractfile(member)
                assert data is not None
                text = data.read()
                fields = next(stanzas(text.decode("utf-8", "replace")), {})
            elif name in _SCRIPTS:
                scripts.add(name)
    if not _PACKAGE.fullmatch(fields.get("Package", "")) or not fields.get("Version"):
        raise BadArtefact(f"{where}: a Debian package that does not say its name and version")
    return fields, tuple(sorted(scripts)), text


def _entries(file: BinaryIO, where: str, place: Callable[[str], str]) -> Iterator[Entry]:
    file.seek(0)
    found: dict[str, Entry] = {}
    with tarfile.open(fileobj=file, mode="r:") as tar:
        for number, member in enumerate(tar):
            if number > _MOST:
                raise BadArtefact(f"{where}: more than {_MOST} files")
            path = inside(member.name, where)
            if not path or member.isdir():
                continue
            if member.islnk():
                target = found.get(inside(member.linkname, where))
                if target is None:
                    raise BadArtefact(f"{where}: a hard link to what is not there: {path}")
                found[path] = Entry(place(path), target.size, target.open, target.mode, target.link)
            elif member.issym():
                found[path] = Entry(place(path), link=member.linkname)
            elif member.isreg():
                data = partial(_opened, file, member.offset_data, member.size)
                found[path] = Entry(place(path), member.size, data, PROGRAM if member.mode & 0o111 else FILE)
    for path, entry in found.items():
        if not _PRUNED.fullmatch(path) or (entry.link and path.count("/") == 3):  # doc of another package's name
            yield entry


def _opened(file: BinaryIO, start: int, size: int) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(_Slice(file, start, size)))


class _Shared:
    """A file that lives as long as any entry that reads from it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.read, self.tell = file.seek, file.read, file.tell


class _Slice(io.RawIOBase):
    """A part of a file as a file; each read finds its place anew, since the file is shared."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._start, self._size, self._at = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence])
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._file.seek(self._start + self._at)
        data = self._file.read(max(0, min(len(buffer), self._size - self._at)))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
