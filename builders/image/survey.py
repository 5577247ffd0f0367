"""Survey: one pass over the layers of a base for its tree and what a build must know, remembered by diff_ids.

So that a base of hundreds of megabytes is read once, and its layers are checked against the digests in its config.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from typing import BinaryIO, cast

from gantline.errors import BadArtefact, GantlineError, VerificationFailed
from gantline.oci.descriptor import Descriptor
from gantline.oci.store import Store

from .control import stanzas
from .elf import MAGIC, Elf, read_elf
from .memory import Memory
from .packed import plain
from .rootfs import check_size, inside
from .tree import FILE, FOLDER, HARD, LINK, OTHER, Node, Tree

VERSION = 2  # of what is looked for: a change of it looks again
_MOST = 2_000_000  # members of all layers together
_IN_MEMORY = 16 << 20  # bytes: a longer program or library is laid on the disk to be looked at
_LONGEST_TEXT = 64 << 20
# texts that are kept: who made the base, where its libraries and its packages are
_TEXTS = re.compile(
    r"(etc|usr/lib)/os-release|etc/ld\.so\.conf(\.d/[^/]+)?|etc/apt/sources\.list(\.d/[^/]+\.(list|sources))?"
)
_STATUS = re.compile(r"var/lib/dpkg/status(\.d/[^/]+)?")
_STATUS_FIELDS = ("Package", "Version", "Status", "Provides", "Architecture")
_LIBC = re.compile(r"libc\.so\.6|libc-2\.\d+\.so")
_GLIBC = re.compile(rb"GNU C Library \([^)]{0,200}\) \w+ release version (\d+\.\d+)")
_PYTHON = re.compile(r"(?:lib)?python(3\.\d+)(?:\.so\.1\.0)?")


def survey(store: Store, layers: Sequence[Descriptor], diff_ids: Sequence[str], memory: Memory) -> Tree:
    """The tree of layers in the store, from the base up. VerificationFailed if one is not what its config says."""
    key = ["tree", VERSION, list(diff_ids), [layer.digest for layer in layers]]  # others may claim the same diff_ids
    found = memory.recall(key)
    if found is not None:
        return Tree.from_json(found)
    tree = Tree()
    count = 0
    for layer, diff_id in zip(layers, diff_ids, strict=True):
        members = _read(store, layer, diff_id)
        count += len(members)
        if count > _MOST:
            raise BadArtefact(f"base: more than {_MOST} files")
        tree.lay(members)
    memory.keep(key, tree.to_json())
    return tree


def _read(store: Store, layer: Descriptor, diff_id: str) -> list[tuple[str, Node]]:
    where = f"layer {layer.digest}"
    with store.path(layer.digest).open("rb") as f, plain(f, where) as stream:
        hashed = _Reading(stream, where)
        try:
            with tarfile.open(fileobj=cast(BinaryIO, hashed), mode="r|") as tar:
                found = list(_members(tar, where))
        except tarfile.TarError as e:
            raise BadArtefact(f"{where}: not a tar archive ({e})") from e
        while hashed.read(1 << 20):  # what lies behind the archive's end belongs to the digest
            pass
    if hashed.digest != diff_id:
        raise VerificationFailed(f"{where}: unpacks to {hashed.digest}, and its image says {diff_id}")
    return found


class _Reading:
    """What is read passes by a hash on its way."""

    def __init__(self, stream: BinaryIO, where: str) -> None:
        self._stream = stream
        self._where = where
        self._size = 0
        self._hash = hashlib.sha256()

    def read(self, count: int = -1) -> bytes:
        data = self._stream.read(count)
        self._size += len(data)
        check_size(self._size, self._where)
        self._hash.update(data)
        return data

    @property
    def digest(self) -> str:
        return "sha256:" + self._hash.hexdigest()


def _members(tar: tarfile.TarFile, where: str) -> Iterator[tuple[str, Node]]:
    for number, member in enumerate(tar):
        if number > _MOST:
            raise BadArtefact(f"{where}: more than {_MOST} files")
        tar.members.clear()  # type: ignore[attr-defined]  # tarfile keeps all that it has read
        path = inside(member.name, where)
        if not path:
            continue
        if member.isreg():
            check_size(member.size, where)  # of a sparse one, holes included
            file = tar.extractfile(member)
            assert file is not None
            yield path, _file(path, cast(BinaryIO, file), member.size)
        elif member.isdir():
            yield path, Node(FOLDER)
        elif member.issym():
            yield path, Node(LINK, link=member.linkname)
        elif member.islnk():
            yield path, Node(HARD, link=inside(member.linkname, where))
        else:
            yield path, Node(OTHER)


def _file(path: str, file: BinaryIO, size: int) -> Node:
    node = Node(FILE, size)
    if _TEXTS.fullmatch(path):
        node.text = _text(file)
    elif _STATUS.fullmatch(path):
        node.text = _packages(_text(file))
    elif size > 52:  # the shortest ELF header
        head = file.read(4)
        if head == MAGIC:
            _look_at(node, path, head, file, size)
    return node


def _text(file: BinaryIO) -> str:
    return file.read(_LONGEST_TEXT).decode("utf-8", "replace")


def _packages(status: str) -> str:
    """Of dpkg's records only what is asked for: they are most of all texts."""
    kept = []
    for stanza in stanzas(status):
        kept.append("".join(f"{name}: {stanza[name]}\n" for name in _STATUS_FIELDS if stanza.get(name)))
    return "\n".join(kept)


def _look_at(node: Node, path: str, head: bytes, file: BinaryIO, size: int) -> None:
    node.elf, node.text = look(path, head, file, size)


def look(path: str, head: bytes, file: BinaryIO, size: int) -> tuple[Elf | None, str | None]:
    """What a program or library of which `head` was read already says, and of the C library and Python the version.

    Nothing for one that cannot be read: a base may hold broken ones, and they are nobody's until something needs them.
    """
    name = path.rpartition("/")[2]
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as work:
        work.write(head)
        shutil.copyfileobj(file, work, 1 << 20)
        try:
            elf = read_elf(cast(BinaryIO, work), path)
        except GantlineError:
            return None, None
        python = _PYTHON.fullmatch(name)
        if not python and not _LIBC.fullmatch(name):
            return elf, None
        work.seek(0)
        return elf, _python_version(work.read(), python[1]) if python else _libc_version(work.read())


def _libc_version(data: bytes) -> str | None:
    match = _GLIBC.search(data)
    return match[1].decode() if match else None


def _python_version(data: bytes, minor: str) -> str | None:
    """PY_VERSION, a string that linkers may let be the end of another one; None where there are several."""
    found = set(re.findall(rb"[^0-9.](%b\.\d{1,3}(?:(?:a|b|rc)\d{1,2})?\+?)\0" % re.escape(minor.encode()), data))
    return found.pop().decode() if len(found) == 1 else None
