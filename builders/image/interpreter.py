"""Interpreter: which Python a base has, found through links, and whether it can run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from gantline.errors import BadArtefact

from .bootstrap import advice
from .tree import FILE, Tree

_FOLDERS = ("usr/local/bin", "usr/bin")  # before any other, in this order
_VERSIONED = re.compile(r"python(\d+)\.(\d+)")
_LIBRARY = re.compile(r"python(\d+)\.(\d+)")
_NEEDED = "asyncio"  # of the standard library: what Debian's python3.N-minimal has not


@dataclass(frozen=True, slots=True)
class Interpreter:
    """`path` is absolute, as an environment names it; `real` the file that it leads to, relative to the root."""

    path: str
    real: str
    python: tuple[int, int]


def find_interpreter(tree: Tree, where: str, wanted: tuple[int, int] | None = None) -> Interpreter:
    """The Python of a base: the one `wanted`, else `usr/local` before `usr`, newer before older.

    BadArtefact where there is none, or none with its standard library.
    """
    found = list(_all(tree))
    fitting = [one for one in found if wanted in (None, one.python)]
    python = wanted or (3, 11)
    text = f"{python[0]}.{python[1]}"
    if not fitting:
        has = f"has Python {', '.join(sorted({f'{a}.{b}' for a, b in (i.python for i in found)}))}, not {text}"
        what = has if found else "has no python3.N"
        raise BadArtefact(f"base {where}: {what}; choose another, such as python:{text}-slim, or {advice(python)}")
    best = max(fitting, key=lambda one: (_rank(one.path), one.python))
    node = tree.find(best.real)
    if node is not None and node.elf is not None and not find_library(tree, best.path, best.python):
        version = f"{best.python[0]}.{best.python[1]}"
        raise BadArtefact(
            f"base {where}: {best.path} is there without its standard library (lib/python{version}/{_NEEDED}); "
            f"on Debian add the package libpython{version}-stdlib"
        )
    return best


def _all(tree: Tree) -> Iterator[Interpreter]:
    others = sorted(f"opt/{name}/bin" for name in tree.names("opt"))
    for folder in (*_FOLDERS, *others):
        names = tree.names(folder)
        for name in names:
            match = _VERSIONED.fullmatch(name)
            if match and (real := _file(tree, f"{folder}/{name}")):
                yield Interpreter(f"/{folder}/{name}", real, (int(match[1]), int(match[2])))
        if "python3" in names and not any(map(_VERSIONED.fullmatch, names)):
            yield from _unversioned(tree, folder)


def _unversioned(tree: Tree, folder: str) -> Iterator[Interpreter]:
    """A `python3` that is no link to python3.N: its version is that of the one library beside it."""
    libraries = [m for name in tree.names(f"{folder}/../lib") if (m := _LIBRARY.fullmatch(name))]
    real = _file(tree, f"{folder}/python3")
    if len(libraries) == 1 and real:
        yield Interpreter(f"/{folder}/python3", real, (int(libraries[0][1]), int(libraries[0][2])))


def _file(tree: Tree, path: str) -> str:
    real = tree.resolve(path)
    node = tree.exact(real) if real else None
    return real if real and node is not None and node.kind == FILE else ""


def find_library(tree: Tree, interpreter: str, python: tuple[int, int]) -> str:
    """The folder of an interpreter's standard library, relative to the root and without links; empty for none."""
    version = f"{python[0]}.{python[1]}"
    prefixes = [path.strip("/").split("/")[:-2] for path in (tree.resolve(interpreter), interpreter) if path]
    folders = ["/".join([*prefix, "lib", f"python{version}"]) for prefix in prefixes]
    found = next((folder for folder in folders if tree.find(f"{folder}/{_NEEDED}")), "")
    return tree.resolve(found) or ""


def _rank(path: str) -> int:
    folder = path.strip("/").rpartition("/")[0]
    return -_FOLDERS.index(folder) if folder in _FOLDERS else -len(_FOLDERS)
