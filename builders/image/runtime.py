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
_VERBS = "demo|package|build|lock|explain|diff|rebuild|sign|run|endpoint"
_LEFT_OUT = re.compile(rf"gantline/cli/({_VERBS})\w*\.py|.*\.(pyi|md)")
_NOT_IN_IMAGES = ("rich",)  # tables for people at a terminal
_ONE_ENGINE = {"onnxruntime": "onnx"}  # what only one engine imports
_METADATA = "Metadata-Version: 2.1\nName: gantline\nVersion: {}\n"


def requirements(engine: str = "onnx") -> tuple[str, ...]:
    """What serving a package of this engine needs, as Gantline's own metadata says, without its extras."""
    lines = [line for line in requires("gantline") or [] if "extra ==" not in line]
    unused = {*_NOT_IN_IMAGES, *(name for name, runs in _ONE_ENGINE.items() if runs != engine)}
    return tuple(line for line in lines if re.split(r"[^\w.-]", line)[0].lower() not in unused)


def entries() -> list[Entry]:
    """Gantline as an image has it, but for its bytecode."""
    paths = ((entry, entry.path.removeprefix(places.LIBRARY + "/")) for entry in _sources())
    found = [entry for entry, path in paths if not _LEFT_OUT.fullmatch(path)]
    about = f"{places.LIBRARY}/gantline-{gantline.__version__}.dist-info"
    found.append(of_bytes(f"{about}/METADATA", _METADATA.format(gantline.__version__).encode()))
    found.append(of_bytes(f"{about}/RECORD", b""))
    return found


def with_bytecode(entries: list[Entry], python: tuple[int, int]) -> list[Entry]:
    """The same, and the bytecode of its modules where this interpreter makes it: a second of work."""
    if not compiles(python):
        return entries
    modules = [entry for entry in entries if entry.path.endswith(".py")]
    compiled = (bytecode(entry.path, _bytes(entry)) for entry in modules)
    return [*entries, *(one for one in compiled if one is not None)]


def environment(at: str, python: tuple[int, int], interpreter: str, with_library: bool = True) -> list[Entry]:
    """A virtual environment at `at`, but for its distributions. `interpreter`: the base's own Python."""
    folder = interpreter.rpartition("/")[0]
    settings = f"home = {folder}\ninclude-system-site-packages = false\nversion = {python[0]}.{python[1]}\n"
    found = [of_bytes(f"{at}/pyvenv.cfg", settings.encode()), Entry(f"{at}/bin/python", link=interpreter, mode=PROGRAM)]
    if with_library:
        found.append(of_bytes(f"{places.site(at, python)}/gantline.pth", f"/{places.LIBRARY}\n".encode()))
    return found


def _sources() -> Iterator[Entry]:
    root = Path(gantline.__path__[0])
    at = f"{places.LIBRARY}/gantline"
    for part in sorted(root.iterdir()):
        if part.name.startswith(".") or part.name in ("__pycache__", "builders", *_FOLDERS):
            continue
        yield from of_tree(f"{at}/{part.name}", part) if part.is_dir() else [of_file(f"{at}/{part.name}", part)]
    for name in _FOLDERS:
        spec = importlib.util.find_spec(f"gantline.{name}")
        assert spec is not None and spec.submodule_search_locations
        yield from of_tree(f"{at}/{name}", Path(next(iter(spec.submodule_search_locations))))


def version() -> str:
    """Gantline's own."""
    return gantline.__version__


def key(entries: list[Entry], python: tuple[int, int]) -> list[object]:
    """What the layer of these entries depends on: every path and what is there. Few files, so they are read."""
    return [compiles(python), *([e.path, e.link, hashlib.sha256(_bytes(e)).hexdigest()] for e in entries)]


def _bytes(entry: Entry) -> bytes:
    if entry.open is None:
        return b""
    with entry.open() as f:
        return f.read()
