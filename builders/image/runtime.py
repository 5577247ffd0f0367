"""Runtime: the part of Gantline that an image needs: what scores, and nothing that builds."""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path

import gantline

from . import places
from .bytecode import bytecode, compiles
from .entry import PROGRAM, Entry, of_bytes, of_file, of_tree

_FOLDERS = ("accelerators", "serve")  # beside gantline's own files
_LEFT_OUT = re.compile(r"gantline/cli/(demo|package)\w*\.py|.*\.(pyi|md)")
_NOT_IN_IMAGES = ("rich",)  # tables for people at a terminal
_METADATA = "Metadata-Version: 2.1\nName: gantline\nVersion: {}\n"


def requirements() -> tuple[str, ...]:
    """What serving needs, as Gantline's own metadata says, without its extras."""
    lines = [line for line in requires("gantline") or [] if "extra ==" not in line]
    return tuple(line for line in lines if re.split(r"[^\w.-]", line)[0].lower() not in _NOT_IN_IMAGES)


def entries(python: tuple[int, int], interpreter: str) -> list[Entry]:
    """The environment itself and Gantline in it. `interpreter`: the base's own, which the environment points to."""
    site = places.site(python)
    found = list(_environment(python, interpreter))
    for entry in _sources(site):
        if _LEFT_OUT.fullmatch(entry.path.removeprefix(site + "/")):
            continue
        found.append(entry)
        if entry.path.endswith(".py") and compiles(python) and entry.open is not None:
            with entry.open() as f:
                compiled = bytecode(entry.path, f.read())
            if compiled is not None:
                found.append(compiled)
    about = f"{site}/gantline-{gantline.__version__}.dist-info"
    found.append(of_bytes(f"{about}/METADATA", _METADATA.format(gantline.__version__).encode()))
    found.append(of_bytes(f"{about}/RECORD", b""))
    return found


def _environment(python: tuple[int, int], interpreter: str) -> Iterator[Entry]:
    folder = interpreter.rpartition("/")[0]
    settings = f"home = {folder}\ninclude-system-site-packages = false\nversion = {python[0]}.{python[1]}\n"
    yield of_bytes(f"{places.ENVIRONMENT}/pyvenv.cfg", settings.encode())
    yield Entry(f"{places.ENVIRONMENT}/bin/python", link=interpreter, mode=PROGRAM)


def _sources(site: str) -> Iterator[Entry]:
    root = Path(gantline.__path__[0])
    for part in sorted(root.iterdir()):
        if part.name.startswith(".") or part.name in ("__pycache__", "builders", *_FOLDERS):
            continue
        yield from of_tree(f"{site}/gantline/{part.name}", part) if part.is_dir() else [_file(site, part)]
    for name in _FOLDERS:
        spec = importlib.util.find_spec(f"gantline.{name}")
        assert spec is not None and spec.submodule_search_locations
        yield from of_tree(f"{site}/gantline/{name}", Path(next(iter(spec.submodule_search_locations))))


def _file(site: str, path: Path) -> Entry:
    return of_file(f"{site}/gantline/{path.name}", path)


def version() -> str:
    """Gantline's own."""
    return gantline.__version__


def key(entries: list[Entry]) -> list[list[str]]:
    """What the layer of these entries depends on: every path and what is there. Few files, so they are read."""
    return [[e.path, e.link, hashlib.sha256(_bytes(e)).hexdigest()] for e in entries]


def _bytes(entry: Entry) -> bytes:
    if entry.open is None:
        return b""
    with entry.open() as f:
        return f.read()
