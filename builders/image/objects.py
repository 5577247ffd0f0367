"""Objects: the programs and libraries (ELF files) that wheels and other parts of an image bring, and where they lie."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, cast

from gantline.errors import BadArtefact

from .elf import MAGIC, Elf
from .entry import Entry
from .memory import Memory
from .prune import pruned_by
from .survey import look
from .wheel import Wheel, inside, placed

VERSION = 2  # of what is looked for in a wheel
_SHORTEST = 52  # bytes: an ELF header


@dataclass(frozen=True, slots=True)
class Object:
    """One of them. `owner` is who brought it, as a message says it: `lightgbm 4.7.0`."""

    path: str
    elf: Elf
    owner: str

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


def of_wheels(wheels: Sequence[Wheel], site: str, memory: Memory) -> Iterator[Object]:
    """Those of wheels, which are looked through once and remembered by digest."""
    for wheel in wheels:
        key = ["wheel", VERSION, wheel.digest]
        rows = memory.recall(key)
        if rows is None:
            rows = [[path, elf.to_json()] for path, elf in _in_wheel(wheel)]
            memory.keep(key, rows)
        for path, elf in rows:
            if not pruned_by(wheel.distribution, path):
                yield Object(placed(path, site), Elf.from_json(elf), f"{wheel.distribution} {wheel.version}")


def _in_wheel(wheel: Wheel) -> Iterator[tuple[str, Elf]]:
    try:
        with zipfile.ZipFile(wheel.path) as archive:
            for member in archive.infolist():
                path = inside(member.filename)
                if not path or member.is_dir() or member.file_size < _SHORTEST:
                    continue
                with archive.open(member) as f:
                    elf = _look(path, cast(BinaryIO, f), member.file_size)
                if elf is not None:
                    yield path, elf
    except (OSError, zipfile.BadZipFile, NotImplementedError) as e:
        raise BadArtefact(f"{wheel.path}: not a wheel that can be read ({e})") from e


def of_entries(entries: Iterable[Entry], owner: str) -> Iterator[Object]:
    """Those of entries that are no wheel's: scoring code, Debian packages."""
    for entry in entries:
        if entry.open is None or entry.size < _SHORTEST:
            continue
        with entry.open() as f:
            elf = _look(entry.path, cast(BinaryIO, f), entry.size)
        if elf is not None:
            yield Object(entry.path, elf, owner)


def _look(path: str, file: BinaryIO, size: int) -> Elf | None:
    head = file.read(len(MAGIC))
    return look(path, head, file, size)[0] if head == MAGIC else None
