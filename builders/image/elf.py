"""ELF: what a program or library for Linux says of itself: for which processor it is, and which libraries it needs.

Read from its headers alone, without the tools that a macOS or Windows machine lacks, and without trust: every offset is
checked, nothing is read at the length that the file claims (https://refspecs.linuxfoundation.org/elf/gabi4+/).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from gantline.errors import BadArtefact

MAGIC = b"\x7fELF"
# machine and bits -> architecture as images name it; what is not here runs on no host: code of graphics cards, say
_MACHINES = {
    (62, 64): "amd64", (183, 64): "arm64", (40, 32): "arm", (3, 32): "386", (21, 64): "ppc64le", (22, 64): "s390x",
    (243, 64): "riscv64",
}  # fmt: skip
_OBJECT, _CORE = 1, 4  # kinds that are neither run nor loaded
_LOAD, _DYNAMIC, _INTERPRETER = 1, 2, 3  # segments
_NEEDED, _STRTAB, _STRSZ, _SONAME, _RPATH, _RUNPATH, _VERNEED, _VERNEEDNUM = (
    1, 5, 10, 14, 15, 29, 0x6FFFFFFE, 0x6FFFFFFF,
)  # fmt: skip
_WEAK = 2  # flag of a version that is wanted and can be done without
_MOST_SEGMENTS, _MOST_ENTRIES, _MOST_VERSIONS, _LONGEST_NAME = 1024, 8192, 4096, 4096
_GLIBC = re.compile(r"GLIBC_(\d{1,3})\.(\d{1,3})(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Elf:
    """`architecture` is empty for processors that no image is for; `glibc` the newest version that it must have."""

    architecture: str
    loadable: bool
    needed: tuple[str, ...] = ()
    soname: str = ""
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()
    interpreter: str = ""
    glibc: tuple[int, int] = (0, 0)

    def to_json(self) -> list[Any]:
        return [
            self.architecture, self.loadable, self.needed, self.soname, self.rpath, self.runpath, self.interpreter,
            self.glibc,
        ]  # fmt: skip

    @classmethod
    def from_json(cls, tree: list[Any]) -> Elf:
        architecture, loadable, needed, soname, rpath, runpath, interpreter, glibc = tree
        major, minor = glibc
        return cls(
            architecture, loadable, tuple(needed), soname, tuple(rpath), tuple(runpath), interpreter, (major, minor)
        )  # fmt: skip


def read_elf(file: BinaryIO, where: str) -> Elf:
    """What a seekable file says. BadArtefact (naming `where`) for one that is cut off, or that contradicts itself."""
    return _Reader(file, where).read()


class _Reader:
    def __init__(self, file: BinaryIO, where: str) -> None:
        self._file = file
        self._where = where
        head = self._bytes(0, 16)
        if head[:4] != MAGIC or head[4] not in (1, 2) or head[5] not in (1, 2):
            raise self._bad("no ELF header")
        self._bits = 32 * head[4]
        self._order = "<" if head[5] == 1 else ">"
        self._loads: list[tuple[int, int, int]] = []  # address, bytes in the file, offset

    def read(self) -> Elf:
        kind, machine, segments_at, size, count = self._header()
        little = self._order == "<"
        architecture = _MACHINES.get((machine, self._bits), "")
        if architecture and little == (architecture == "s390x"):
            architecture = ""  # big-endian PowerPC and the like
        if kind in (_OBJECT, _CORE):
            return Elf(architecture, False)
        if count > _MOST_SEGMENTS:
            raise self._bad(f"{count} segments")
        interpreter, dynamic = "", None
        for number in range(count):
            what, offset, address, length = self._segment(segments_at + number * size)
            if what == _LOAD:
                self._loads.append((address, length, offset))
            elif what == _DYNAMIC:
                dynamic = (offset, length)
            elif what == _INTERPRETER:
                interpreter = self._text(offset)
        if dynamic is None:
            return Elf(architecture, True, interpreter=interpreter)
        return self._linked(architecture, interpreter, *dynamic)

    def _header(self) -> tuple[int, int, int, int, int]:
        layout = "HHIQQQIHHH" if self._bits == 64 else "HHIIIIIHHH"
        kind, machine, _, _, segments_at, _, _, _, size, count = self._unpack(16, layout)
        if count and size < (56 if self._bits == 64 else 32):
            raise self._bad(f"segment headers of {size} bytes")
        return kind, machine, segments_at, size, count

    def _segment(self, at: int) -> tuple[int, int, int, int]:
        if self._bits == 64:
            what, _, offset, address, _, length, _, _ = self._unpack(at, "IIQQQQQQ")
        else:
            what, offset, address, _, length, _, _, _ = self._unpack(at, "IIIIIIII")
        return what, offset, address, length

    def _linked(self, architecture: str, interpreter: str, offset: int, length: int) -> Elf:
        found = list(self._dynamic(offset, length))
        once = dict(found)
        strings = self._offset(once[_STRTAB]) if _STRTAB in once else 0
        size = once.get(_STRSZ, 0)

        def text(at: int) -> str:
            if not 0 <= at < size:
                raise self._bad(f"a name at {at} of {size}")
            return self._text(strings + at)

        def paths(tag: int) -> tuple[str, ...]:
            return tuple(p for p in text(once[tag]).split(":") if p) if tag in once else ()

        return Elf(
            architecture,
            True,
            tuple(text(value) for tag, value in found if tag == _NEEDED),
            text(once[_SONAME]) if _SONAME in once else "",
            paths(_RPATH),
            paths(_RUNPATH),
            interpreter,
            self._newest_glibc(once, strings),
        )

    def _dynamic(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        layout, step = ("qQ", 16) if self._bits == 64 else ("iI", 8)
        for number in range(min(length // step, _MOST_ENTRIES)):
            tag, value = self._unpack(offset + number * step, layout)
            if tag == 0:
                return
            yield tag, value

    def _newest_glibc(self, once: dict[int, int], strings: int) -> tuple[int, int]:
        newest = (0, 0)
        if _VERNEED not in once:
            return newest
        at = self._offset(once[_VERNEED])
        for _ in range(min(once.get(_VERNEEDNUM, 0), _MOST_VERSIONS)):
            _, count, _, first, further = self._unpack(at, "HHIII")
            aux = at + first
            for _ in range(min(count, _MOST_VERSIONS)):
                _, flags, _, name, following = self._unpack(aux, "IHHII")
                match = None if flags & _WEAK else _GLIBC.fullmatch(self._text(strings + name))
                if match:
                    newest = max(newest, (int(match[1]), int(match[2])))
                if not following:
                    break
                aux += following
            if not further:
                break
            at += further
        return newest

    def _offset(self, address: int) -> int:
        """Where in the file an address of memory is."""
        for start, length, offset in self._loads:
            if start <= address < start + length:
                return offset + address - start
        raise self._bad(f"address {address:#x} is in no segment")

    def _text(self, at: int) -> str:
        self._seek(at)
        data = self._file.read(_LONGEST_NAME)
        end = data.find(b"\0")
        if end < 0:
            raise self._bad(f"a name at {at} that does not end")
        return data[:end].decode("utf-8", "replace")

    def _unpack(self, at: int, layout: str) -> tuple[int, ...]:
        form = self._order + layout
        return struct.unpack(form, self._bytes(at, struct.calcsize(form)))

    def _bytes(self, at: int, count: int) -> bytes:
        self._seek(at)
        data = self._file.read(count)
        if len(data) != count:
            raise self._bad("cut off")
        return data

    def _seek(self, at: int) -> None:
        try:
            self._file.seek(at)
        except (OSError, ValueError, OverflowError) as e:
            raise self._bad(f"nothing is at {at:#x}") from e

    def _bad(self, what: str) -> BadArtefact:
        return BadArtefact(f"{self._where}: not an ELF file that can be read: {what}")
