"""Root file system: one tar of it becomes a layer that depends on what is in the files, not on who packed them when.

Sorted, without times and names of users, and without what a running system leaves behind (`RULES`). Since times go,
bytecode that is valid by its source's time is marked valid by itself (PEP 552): else every start would compile anew.
"""

from __future__ import annotations

import errno
import hashlib
import io
import re
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from gantline.errors import BadArtefact, Unavailable
from gantline.oci.descriptor import LAYER_GZIP, Descriptor
from gantline.oci.store import Store

from .layer import TITLE, written
from .packed import packing, plain
from .press import pressed

# what is left out, by name; folders stay
RULES: dict[str, re.Pattern[str]] = {
    "caches": re.compile(r"var/cache/.+|var/lib/apt/lists/.+|debootstrap/.*|(home/[^/]+|root)/\.cache/.+"),
    "logs": re.compile(r"var/log/.+"),
    "devices": re.compile(r"dev/.+"),
    "what is only there while it runs": re.compile(r"(proc|sys|run|tmp|var/tmp)/.+"),
    "names of the machine that made it": re.compile(
        r"etc/(hostname|resolv\.conf|machine-id|mtab)|var/lib/dbus/machine-id|var/lib/systemd/random-seed"
    ),
    "backups": re.compile(r"var/lib/dpkg/.+-old|etc/(passwd|group|shadow|gshadow|subuid|subgid)-"),
}
STALE = "bytecode of other sources"
VERSION = 2  # of the rules, and of how it is compressed: a change of them makes another layer
_XATTR = "SCHILY.xattr."
_PYC = re.compile(r"(?P<folder>.*?)__pycache__/(?P<name>[^/]+?)\.[\w-]+(\.opt-[\w]+)?\.pyc")
_PYC_HEAD = 16
_UNCHECKED = 0b01
_MOST = 1_000_000  # members: each costs memory
LARGEST = 64 << 30  # bytes of a base: holes in sparse files, and zeros that were compressed, cost their sender nothing


@dataclass(frozen=True, slots=True)
class Kept:
    """A layer in the store, and what was left out: how many files by which rule."""

    descriptor: Descriptor
    diff_id: str
    dropped: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """To be remembered by the digest of the tar."""
        return {"descriptor": self.descriptor.to_json(), "diff_id": self.diff_id, "dropped": self.dropped}

    @classmethod
    def recalled(cls, tree: Any, store: Store) -> Kept | None:
        """What was remembered, if its layer is still in the store."""
        if tree is None:
            return None
        descriptor = Descriptor.from_json(tree["descriptor"], "base")
        if not store.has(descriptor.digest):
            return None
        return cls(descriptor, tree["diff_id"], tree["dropped"])


def keep_rootfs(path: Path, store: Store) -> Kept:
    """Write the layer of a tar, plain or compressed. BadArtefact where it is not one of a root file system."""
    where = f"base {path}"
    try:
        with _seekable(path, where) as f, tarfile.open(fileobj=f, mode="r:") as tar:
            members = _members(tar, where)
            dropped = _drop(members)
            check_size(sum(m.size for m in members.values() if m.isreg()), where)
            return _write(tar, members, dropped, store, path.name)
    except tarfile.TarError as e:
        raise BadArtefact(f"{where}: not a tar archive of a root file system ({e})") from e


@contextmanager
def _seekable(path: Path, where: str) -> Iterator[BinaryIO]:
    """The plain tar: itself, or unpacked to a file that goes away."""
    with path.open("rb") as f:
        head = f.read(8)
        f.seek(0)
        if not packing(head):
            yield f
            return
        with tempfile.TemporaryFile() as work:
            try:
                with plain(f, where) as stream:
                    while piece := stream.read(1 << 20):
                        work.write(piece)
                        check_size(work.tell(), where)
            except OSError as e:
                if e.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise Unavailable(f"{where}: no space to unpack it in {tempfile.gettempdir()}; set TMPDIR") from e
                raise
            work.seek(0)
            yield cast(BinaryIO, work)


def check_size(size: int, where: str) -> None:
    """BadArtefact for more bytes than a base may have."""
    if size > LARGEST:
        raise BadArtefact(f"{where}: unpacks to {size >> 30} GiB or more; a base has {LARGEST >> 30} GiB at most")


def _members(tar: tarfile.TarFile, where: str) -> dict[str, tarfile.TarInfo]:
    """By path; the last of several that have the same, as tar itself does it."""
    found: dict[str, tarfile.TarInfo] = {}
    for member in tar:
        if len(found) >= _MOST:
            raise BadArtefact(f"{where}: more than {_MOST} files")
        name = inside(member.name, where)
        if name:
            found[name] = member
    # tarfile takes a head that is cut off, or damaged, for the end
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise BadArtefact(f"{where}: cut off or damaged at byte {tar.offset}: no end of an archive is there")
    return found


def inside(name: str, where: str) -> str:
    """A member's path relative to the root; empty for the root itself. BadArtefact for one that leads out."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in name:
        raise BadArtefact(f"{where}: a member's path leads out of the root: {name!r:.200}")
    return "/".join(parts)


def rule_against(path: str, folder: bool = False) -> str:
    """The name of the rule that leaves a path out, or nothing."""
    if folder:
        return "caches" if path == "debootstrap" or path.startswith("debootstrap/") else ""
    return next((name for name, pattern in RULES.items() if pattern.fullmatch(path)), "")


def _drop(members: dict[str, tarfile.TarInfo]) -> dict[str, int]:
    dropped: Counter[str] = Counter()
    for path in list(members):
        member = members[path]
        rule = rule_against(path, member.isdir())
        if not rule and not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
            rule = "devices"
        if rule:
            dropped[rule] += not member.isdir()
            del members[path]
    for path in [p for p, m in members.items() if p.endswith(".pyc") and "/__pycache__/" in p and m.isreg()]:
        if _source_of(path) not in members:
            dropped[STALE] += 1
            del members[path]
    return dict(sorted(dropped.items()))


def _source_of(path: str) -> str:
    match = _PYC.fullmatch(path)
    return f"{match['folder']}{match['name']}.py" if match else ""


def _write(
    tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo], dropped: dict[str, int], store: Store, name: str
) -> Kept:
    with store.receive() as incoming, pressed(incoming) as plain_tar, written(plain_tar) as out:
        for info, data in _normal(tar, members, dropped, name):
            out.addfile(info, data)
    title = {TITLE: f"base {name}"}
    descriptor = Descriptor(LAYER_GZIP, incoming.digest, incoming.size, annotations=title)
    return Kept(descriptor, plain_tar.digest, dropped)


def _normal(
    tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo], dropped: dict[str, int], name: str
) -> Iterator[tuple[tarfile.TarInfo, BinaryIO | None]]:
    """Members in order, as the layer has them. Of files with several names the first has the bytes."""
    first: dict[int, str] = {}  # where a file's bytes are in the tar -> the name under which it is written
    for path in sorted(members, key=lambda p: p.split("/")):
        member = members[path]
        info = _bare(path, member)
        source = _target(members, member)
        if source is None:
            raise BadArtefact(f"base {name}: a hard link to what is not there: {path} -> {member.linkname}")
        if not source.isreg():
            if member.islnk():  # another name of a symbolic link
                info.type, info.linkname = source.type, source.linkname
            yield info, None
        elif source.offset_data in first:
            info.type, info.linkname = tarfile.LNKTYPE, first[source.offset_data]
            yield info, None
        else:
            data = tar.extractfile(source)
            assert data is not None
            info.type, info.size, info.linkname = tarfile.REGTYPE, source.size, ""
            if path.endswith(".pyc") and "/__pycache__/" in path:
                code = _bytecode(data.read(), tar, _target(members, members[_source_of(path)]))
                if code is None:
                    dropped[STALE] = dropped.get(STALE, 0) + 1
                    continue
                info.size, data = len(code), io.BytesIO(code)
            first[source.offset_data] = path
            yield info, cast(BinaryIO, data)


def _target(members: dict[str, tarfile.TarInfo], member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """The member that has the bytes of a hard link, which may be of a hard link again."""
    found: tarfile.TarInfo | None = member
    for _ in range(40):
        if found is None or not found.islnk():
            return found
        found = members.get("/".join(part for part in found.linkname.split("/") if part not in ("", ".")))
    return None


def _bare(path: str, member: tarfile.TarInfo) -> tarfile.TarInfo:
    """What of a member's head is kept: kind, permissions, numbers of its owner, capabilities."""
    info = tarfile.TarInfo(path)
    info.type, info.linkname = member.type, member.linkname
    info.mode, info.uid, info.gid = member.mode & 0o7777, member.uid, member.gid
    info.pax_headers = {k: v for k, v in member.pax_headers.items() if k.startswith(_XATTR)}
    return info


def _bytecode(code: bytes, tar: tarfile.TarFile, source: tarfile.TarInfo | None) -> bytes | None:
    """The same, valid without a look at its source; None if it is of another source, by time or size."""
    if source is None or len(code) < _PYC_HEAD:
        return None
    flags, time, size = (int.from_bytes(code[at : at + 4], "little") for at in (4, 8, 12))
    if flags:
        return code
    if time != int(source.mtime) & 0xFFFFFFFF or size != source.size & 0xFFFFFFFF:
        return None
    text = tar.extractfile(source)
    if text is None:
        return None
    # the interpreter never compares it; its own hash would depend on which interpreter builds
    mark = hashlib.sha256(text.read()).digest()[:8]
    return code[:4] + _UNCHECKED.to_bytes(4, "little") + mark + code[_PYC_HEAD:]
