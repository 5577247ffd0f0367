"""Closure: every program and library of an image finds the libraries that it needs, or it is said which one does not.

Looked up as the loader does it (`loader`), with two liberties, both towards finding: a library that any wheel brings
counts, since whoever imports that wheel first loads it (as torch does with NVIDIA's), and so do the RPATHs of all
files of the same owner, since a loader's RPATH is valid for what it loads.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from gantline.errors import BadArtefact
from gantline.home import home

from . import places
from .base import Base
from .entry import Entry
from .loader import flat, library_folders, own_folders
from .memory import Memory
from .objects import Object, of_entries, of_wheels
from .wheel import Wheel

BASE, DEBS = "the base", "a Debian package"
# what a machine's own driver brings, mounted by the container's runtime: no image may hold it
_DRIVERS = re.compile(r"lib(cuda|nvidia-[\w-]+|nvcuvid|nvoptix|cudadebugger)\.so(\.\d+)?")


@dataclass(frozen=True, slots=True)
class Missing:
    """`library` is needed by the file at `path`, which `owner` brought, and is nowhere."""

    library: str
    owner: str
    path: str

    def __str__(self) -> str:
        return f"{self.owner} needs {self.library} ({self.path.rpartition('/site-packages/')[2]})"


def missing_libraries(
    base: Base,
    wheels: Sequence[Wheel],
    entries: Iterable[Entry],
    owner: str = "the package",
    environment: str = places.ENVIRONMENT,
    debs: Iterable[Entry] = (),
) -> tuple[Missing, ...]:
    """What is missing: each library once for each file that needs it. `wheels` are those of one environment.

    `entries` are those of `owner` and no wheel's, `debs` those of Debian packages.

    BadArtefact for a wheel that is for another processor, or that needs a newer C library than the base has.
    """
    memory = Memory(home() / "libraries", 1)
    objects = [*of_wheels(wheels, places.site(environment, base.python), memory), *of_entries(entries, owner)]
    objects += of_entries(debs, DEBS)
    _check_processors(base, objects)
    fitting = [one for one in objects if one.elf.loadable and one.elf.architecture == base.platform.architecture]
    _check_glibc(base, fitting)
    return tuple(dict.fromkeys(Closure(base, [*_interpreter(base), *fitting]).missing()))


def _interpreter(base: Base) -> Iterator[Object]:
    real = base.tree.resolve(base.interpreter.strip("/"))
    node = base.tree.exact(real) if real else None
    if real and node is not None and node.elf is not None:
        yield Object(real, node.elf, BASE)


def missing_in(base: Base) -> tuple[Missing, ...]:
    """What a base's own files lack, used or not: Python's _tkinter in slim images, say. Remembered by its layers."""
    memory = Memory(home() / "libraries", 1)
    key = ["base", list(base.diff_ids), base.platform.architecture, sorted(base.variables.items())]
    rows = memory.recall(key)
    if rows is None:
        rows = [[one.library, one.owner, one.path] for one in _missing_in(base)]
        memory.keep(key, rows)
    return tuple(Missing(*row) for row in rows)


def _missing_in(base: Base) -> tuple[Missing, ...]:
    architecture = base.platform.architecture
    own = [
        Object(path, node.elf, BASE)
        for path, node in base.tree.walk()
        if node.elf is not None and node.elf.architecture == architecture
    ]
    return tuple(dict.fromkeys(Closure(base, own).missing()))


def _check_processors(base: Base, objects: Iterable[Object]) -> None:
    """Some wheels bring the same for several processors; one that brings nothing for this one is a mistake."""
    architecture = base.platform.architecture
    by_owner: dict[str, list[Object]] = defaultdict(list)
    for one in objects:
        if one.elf.loadable and one.elf.architecture:
            by_owner[one.owner].append(one)
    for owner, own in by_owner.items():
        if all(one.elf.architecture != architecture for one in own):
            raise BadArtefact(
                f"{owner} is for {own[0].elf.architecture} ({own[0].name}), and the image for {base.platform}; "
                "lock for this platform, or give a wheel for it"
            )


def _check_glibc(base: Base, objects: Iterable[Object]) -> None:
    for one in objects:
        if any(base.glibc) and one.elf.glibc > base.glibc:
            wants, has = (".".join(map(str, version)) for version in (one.elf.glibc, base.glibc))
            raise BadArtefact(
                f"{one.owner} needs glibc {wants} ({one.name}), and base {base.name} has {has}; "
                "use a newer base, or an older release of it"
            )


@dataclass(slots=True)
class Closure:
    """The search. `objects` are what is looked from, all for the base's processor."""

    base: Base
    objects: Sequence[Object]
    _brought: dict[str, Object] = field(default_factory=dict)
    _at: dict[str, Object] = field(default_factory=dict)
    _folders: tuple[str, ...] = ()
    _rpaths: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self._folders = library_folders(self.base.tree, self.base.platform.architecture, self.base.variables)
        for one in self.objects:
            self._at[one.path] = one
            if one.owner == BASE:
                continue
            for name in filter(None, (one.elf.soname, one.name)):
                self._brought.setdefault(name, one)
            if not one.elf.runpath:
                self._rpaths[one.owner] += own_folders(one.elf, one.path, self.base.platform.architecture)

    def missing(self) -> Iterator[Missing]:
        """All that is not found, looking on from each library that is."""
        waiting = list(self.objects)[::-1]
        seen = {one.path for one in waiting}
        while waiting:
            one = waiting.pop()
            for library in one.elf.needed:
                found = self._find(library, one)
                if found is None and not _DRIVERS.fullmatch(library):
                    yield Missing(library, one.owner, one.path)
                elif found is not None and found.path not in seen:
                    seen.add(found.path)
                    # of a library of the base the one that brought the need is to blame
                    waiting.append(Object(found.path, found.elf, one.owner) if found.owner == BASE else found)

    def _find(self, library: str, one: Object) -> Object | None:
        if "/" in library:
            return self._there(library if library.startswith("/") else f"{one.path.rpartition('/')[0]}/{library}")
        own = [*own_folders(one.elf, one.path, self.base.platform.architecture), *self._rpaths[one.owner]]
        for folder in dict.fromkeys(own):
            if found := self._there(f"{folder}/{library}"):
                return found
        if library in self._brought:
            return self._brought[library]
        for folder in self._folders:
            if found := self._there(f"{folder}/{library}"):
                return found
        return None

    def _there(self, path: str) -> Object | None:
        """The library at a path, of ours or of the base; None for one of another processor, as the loader has it."""
        path = flat(path)
        if found := self._at.get(path):
            return found
        real = self.base.tree.resolve(path)
        node = self.base.tree.exact(real) if real else None
        if real and real in self._at:
            return self._at[real]
        if real and node is not None and node.elf is not None and self._serves(node.elf.architecture):
            return Object(real, node.elf, BASE)
        return None

    def _serves(self, architecture: str) -> bool:
        return architecture == self.base.platform.architecture
