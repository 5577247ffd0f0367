"""Library: bytecode of the base's own Python, where it has none, so that no start compiles its standard library.

Debian's minimal Python has bytecode for a third of it, Docker's images of Python for nothing; and who runs an image can
write none.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Collection, Iterator
from typing import BinaryIO, cast

from gantline.errors import BadArtefact
from gantline.oci.descriptor import Descriptor

from .base import Base
from .bytecode import TAG, bytecode, compiles
from .entry import Entry
from .interpreter import find_library
from .packed import plain
from .rootfs import inside
from .tree import FILE

TITLE = "bytecode of Python"
VERSION = 1  # of the rules: a change of them makes another layer
_LARGEST = 4 << 20  # bytes of a source: the longest of Python's own have a seventh of that
# what no server imports: tests, windows, installers, help texts, and what others have installed
_LEFT_OUT = re.compile(
    r"(test|idlelib|lib2to3|tkinter|turtledemo|turtle\.py|pydoc_data|ensurepip|distutils|config-[^/]+|"
    r"(site|dist)-packages)(/.*)?|(.*/)?tests?/.*"
)


def uncompiled(base: Base) -> tuple[str, ...]:
    """The sources of the standard library that a start would compile, as paths from the root, sorted.

    None where this interpreter cannot compile for the base's.
    """
    tree = base.tree
    root = find_library(tree, base.interpreter, base.python)
    folder = tree.exact(root) if root and compiles(base.python) else None
    waiting = [(root, folder)] if folder is not None else []
    found = []
    while waiting:
        at, folder = waiting.pop()
        for name, node in (folder.children or {}).items():
            path = f"{at}/{name}"
            if name == "__pycache__" or _LEFT_OUT.fullmatch(path.removeprefix(root + "/")):
                continue
            if node.children is not None:
                waiting.append((path, node))
            elif node.kind == FILE and name.endswith(".py") and node.size <= _LARGEST:
                has = tree.find(f"{at}/__pycache__/{name.removesuffix('.py')}.{TAG}.pyc")
                found += [path] if has is None else []
    return tuple(sorted(found))


def entries(base: Base, sources: Collection[str]) -> list[Entry]:
    """The bytecode of these sources. The base's layers are read for it: seconds."""
    wanted = frozenset(sources)
    texts: dict[str, bytes] = {}
    for layer in base.layers:
        for path, text in _files(base, layer, wanted):
            texts.pop(path, None)  # of several layers the topmost has it
            if text is not None:
                texts[path] = text
    compiled = (bytecode(path, text) for path, text in sorted(texts.items()))
    return [entry for entry in compiled if entry is not None]


def _files(base: Base, layer: Descriptor, wanted: frozenset[str]) -> Iterator[tuple[str, bytes | None]]:
    """What a layer has at these paths; None for what is there and no file with bytes of its own."""
    assert base.store is not None, "a base with layers"
    where = f"layer {layer.digest}"
    with base.store.path(layer.digest).open("rb") as f, plain(f, where) as stream:
        try:
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                for member in tar:
                    tar.members.clear()  # type: ignore[attr-defined]  # tarfile keeps all that it has read
                    if not member.name.endswith(".py"):
                        continue
                    path = base.tree.place(inside(member.name, where))
                    if path in wanted:
                        file = tar.extractfile(member) if member.isreg() else None
                        yield path, None if file is None else cast(BinaryIO, file).read(_LARGEST + 1)
        except tarfile.TarError as e:
            raise BadArtefact(f"{where}: not a tar archive ({e})") from e
