"""Wheel: the files of one as a layer has them, taken apart here (PEP 427), so that no image needs pip."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gantline.blobs import sha256_file
from gantline.errors import BadArtefact

from .bytecode import bytecode, compiles
from .entry import FILE, PROGRAM, Entry
from .prune import VERSION, pruned_by

_NAME = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)(-\d[^-]*)?-(?P<tags>[^-]+-[^-]+-[^-]+)\.whl")
_SKIPPED = ("scripts", "headers")  # of .data: nothing in an image calls or compiles them


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel file. `distribution` is normalised: lower case, with `-`."""

    path: Path
    digest: str
    distribution: str
    version: str

    @classmethod
    def open(cls, path: Path, digest: str = "") -> Wheel:
        """BadArtefact where the name is not a wheel's."""
        match = _NAME.fullmatch(path.name)
        if not match:
            raise BadArtefact(f"{path}: not named as a wheel is (NAME-VERSION-PYTHON-ABI-PLATFORM.whl)")
        name = re.sub(r"[-_.]+", "-", match["name"]).lower()
        return cls(path, digest or sha256_file(path), name, match["version"])

    def key(self, site: str, python: tuple[int, int]) -> list[object]:
        """What its layer depends on, as JSON."""
        return [self.digest, site, list(python), compiles(python), VERSION]

    def entries(self, site: str, python: tuple[int, int]) -> list[Entry]:
        """Its files below `site` without what the rules leave out, and bytecode where this interpreter makes it."""
        try:
            archive = zipfile.ZipFile(self.path)  # closed when the last entry is forgotten
            members = [m for m in archive.infolist() if not m.is_dir()]
            return [e for member in members for e in self._placed(archive, member, site, python)]
        except (OSError, zipfile.BadZipFile, NotImplementedError) as e:
            raise BadArtefact(f"{self.path}: not a wheel that can be read ({e})") from e

    def _placed(
        self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, site: str, python: tuple[int, int]
    ) -> Iterator[Entry]:
        where = inside(member.filename)
        if not where or pruned_by(self.distribution, where):
            return
        path = f"{site}/{where}"
        mode = PROGRAM if (member.external_attr >> 16) & 0o111 else FILE
        yield Entry(path, member.file_size, lambda: archive.open(member), mode)
        if where.endswith(".py") and compiles(python):
            compiled = bytecode(path, archive.read(member))
            if compiled is not None:
                yield compiled


def inside(name: str) -> str:
    """Where a member goes below site-packages; nothing if nowhere."""
    first, _, rest = name.partition("/")
    if first.endswith(".data"):
        kind, _, rest = rest.partition("/")
        return "" if kind in _SKIPPED else rest
    return name
