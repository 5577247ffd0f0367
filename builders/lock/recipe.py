"""Recipe: how a source archive says that it is built (PEP 517, 518), read without running any of it."""

from __future__ import annotations

import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gantline.errors import BadArtefact

_FILE = "pyproject.toml"
_LONGEST = 1 << 20  # bytes of it
_REQUIRES = ("setuptools>=40.8.0",)  # what archives mean that say nothing
_BACKEND = "setuptools.build_meta:__legacy__"


@dataclass(frozen=True, slots=True)
class Recipe:
    """`backend` is MODULE:OBJECT, looked for in the folders of `path`, relative to the source, before all others."""

    requires: tuple[str, ...] = _REQUIRES
    backend: str = _BACKEND
    path: tuple[str, ...] = ()

    @classmethod
    def of(cls, archive: Path) -> Recipe:
        """BadArtefact for what is no archive, or says it in no way that can be understood."""
        try:
            text = _text(archive)
            tree = tomllib.loads(text.decode()) if text is not None else {}
        except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, tomllib.TOMLDecodeError, ValueError) as e:
            raise BadArtefact(f"{archive.name}: no source archive that can be read ({e})") from e
        said = tree.get("build-system")
        if said is None:
            return cls()
        try:
            return cls._read(said)
        except (KeyError, TypeError, ValueError) as e:
            raise BadArtefact(f"{archive.name}: its {_FILE} has no [build-system] as PEP 518 wants it") from e

    @classmethod
    def _read(cls, said: Any) -> Recipe:
        requires, path = said["requires"], said.get("backend-path", [])
        if not isinstance(requires, list) or not isinstance(path, list):
            raise TypeError("no lists")
        backend = str(said.get("build-backend", ""))
        # as pip does: who names no backend is built by setuptools, whatever else it requires
        own = tuple(map(str, requires))
        return cls(own if backend else (*own, *_REQUIRES), backend or _BACKEND, tuple(map(str, path)))


def _text(archive: Path) -> bytes | None:
    """The file in the archive's one folder; None where there is none."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as z:
            found = next((m for m in z.infolist() if _is_it(m.filename)), None)
            if found is None:
                return None
            with z.open(found) as file:
                return _bounded(file.read(_LONGEST + 1))
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile() and _is_it(member.name):
                inside = tar.extractfile(member)
                return _bounded(inside.read(_LONGEST + 1)) if inside is not None else None
    return None


def _is_it(name: str) -> bool:
    parts = name.removeprefix("./").split("/")
    return len(parts) == 2 and parts[1] == _FILE


def _bounded(data: bytes) -> bytes:
    if len(data) > _LONGEST:
        raise ValueError(f"its {_FILE} is longer than {_LONGEST} bytes")
    return data
