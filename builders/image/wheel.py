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
from .needed import needed
from .prune import VERSION, pruned_by

_NAME = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)(-\d[^-]*)?-(?P<tags>[^-]+-[^-]+-[^-]+)\.whl")
_SKIPPED = ("scripts", "headers")  # of .data: nothing in an image calls or compiles them
_PREFIX = "../../../"  # from site-packages to the root of its environment


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
            if out := next((name for name in archive.namelist() if _leaves(name)), ""):
                raise BadArtefact(f"{self.path}: holds {out!r:.200}, outside of where a wheel is unpacked; get another")
            members = {where: m for m in archive.infolist() if not m.is_dir() and (where := inside(m.filename))}
            stays = needed(members, lambda where: archive.read(members[where]))
            kept = [w for w in members if w in stays or not pruned_by(self.distribution, w)]
            return [e for where in kept for e in self._placed(archive, members[where], where, site, python)]
        except (OSError, zipfile.BadZipFile, NotImplementedError) as e:
            raise BadArtefact(f"{self.path}: not a wheel that can be read ({e})") from e

    def _placed(
        self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, where: str, site: str, python: tuple[int, int]
    ) -> Iterator[Entry]:
        path = placed(where, site)
        mode = PROGRAM if (member.external_attr >> 16) & 0o111 else FILE
        yield Entry(path, member.file_size, lambda: archive.open(member), mode)
        if where.endswith(".py") and not where.startswith(_PREFIX) and compiles(python):
            compiled = bytecode(path, archive.read(member))
            if compiled is not None:
                yield compiled


def _leaves(name: str) -> bool:
    """Whether a member's name leads out of site-packages, as that of no sound wheel does."""
    return name.startswith("/") or ".." in name.split("/")


def inside(name: str) -> str:
    """Where a member goes, seen from site-packages; nothing if nowhere. Its `data` goes to the environment's root."""
    first, _, rest = name.partition("/")
    if first.endswith(".data"):
        kind, _, rest = rest.partition("/")
        return "" if kind in _SKIPPED or not rest else f"{_PREFIX}{rest}" if kind == "data" else rest
    return name


def placed(where: str, site: str) -> str:
    """The path of what is `inside` a wheel, if `site` is the environment's site-packages."""
    if not where.startswith(_PREFIX):
        return f"{site}/{where}"
    return "/".join([*site.split("/")[:-3], where.removeprefix(_PREFIX)])


def seen_from(site: str, path: str) -> str:
    """The inverse of `placed`, for a path in the environment and not in its site-packages."""
    return _PREFIX + path.removeprefix("/".join(site.split("/")[:-3]) + "/")
