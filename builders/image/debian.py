"""Debian: which packages have the libraries that wheels need, with what those need that the base has not, each pinned.

A package is chosen by the rule of Debian's policy for names of libraries, else by the archive's list of contents; that
it does hold the library is seen in the package itself before it is pinned.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gantline.blobs import sha256_bytes
from gantline.errors import BadArtefact, NotFound, Unsupported

from . import deb
from .base import Base
from .content import Part
from .control import Wanted, compare, wanted
from .deb import Deb
from .download import Downloads
from .entry import Entry
from .loader import flat, library_folders, triplet
from .mirror import Mirror, suites_of

SYSTEMS = ("debian", "ubuntu")
_NAME = re.compile(r"(?P<name>lib[\w.+-]+?)(-(?P<in_name>\d[\d.]*))?\.so(\.(?P<version>\d+))?[\d.]*")
_ARCHITECTURES = {"arm": "armhf", "386": "i386", "ppc64le": "ppc64el"}  # what Debian calls otherwise
_BELOW_ALL = ("libc6", "libgcc-s1", "libstdc++6")
_LARGEST = 2 << 30  # bytes of one package
_MOST = 200  # packages that one wish may lead to


@dataclass(frozen=True, slots=True)
class _Offer:
    deb: Deb
    depends: str


def names_of(library: str) -> list[str]:
    """What Debian's policy (chapter 8.1) calls the package of a library: libgomp.so.1 is libgomp1's. Likeliest first.

    A dash stands between where the name ends in a digit; since 2024 some end in t64, for 64 bits of time.
    """
    match = _NAME.fullmatch(library)
    if match is None:
        return []
    name = match["name"].lower().replace("_", "-")
    inner, version = match["in_name"] or "", match["version"] or ""
    stems = [name + inner, f"{name}-{inner}"] if inner else [name]
    found = []
    for stem in stems:
        dashed = f"{stem}-{version}" if version else stem
        plain = stem + version
        found += [dashed, plain] if stem[-1:].isdigit() else [plain, dashed]
    return list(dict.fromkeys(name + end for name in found for end in ("", "t64")))


@dataclass(slots=True)
class Archive:
    """What the archive of a base offers. `notes` say what a user should know of what was taken."""

    base: Base
    mirror: Mirror
    notes: list[str] = field(default_factory=list)
    _offers: dict[str, _Offer] = field(default_factory=dict)
    _provides: dict[str, list[str]] = field(default_factory=dict)
    _installed: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._installed = self.base.installed()

    @classmethod
    def of(cls, base: Base, downloads: Downloads, mirror: str = "") -> Archive:
        """Unsupported for a base that is not Debian's or Ubuntu's."""
        system = base.system.get("ID", "")
        suites = suites_of(base, mirror)
        if system not in SYSTEMS or not suites:
            what = base.system.get("PRETTY_NAME") or "of no known system"
            raise Unsupported(f"base {base.name} is {what}: only Debian's and Ubuntu's packages can be added to a base")
        architecture = base.platform.architecture
        return cls(base, Mirror(suites, _ARCHITECTURES.get(architecture, architecture), system, downloads))

    def resolve(self, libraries: Iterable[str], names: Iterable[str] = ()) -> tuple[Deb, ...]:
        """Packages that have these libraries, those of these names, and what they need besides; sorted by name.

        NotFound for what is in no package.
        """
        self._read()
        chosen: dict[str, Deb] = {}
        for name in names:
            self._add(self._offer(name, f"--apt {name}"), chosen)
        for library in libraries:
            if not self._has(chosen.values(), library):
                self._add_holder(library, chosen)
        return tuple(sorted(chosen.values(), key=lambda one: one.name))

    def _add_holder(self, library: str, chosen: dict[str, Deb]) -> None:
        by_rule = [self._offers[name] for name in names_of(library) if name in self._offers]
        for offers in (by_rule, self._listed(library)):
            for offer in offers:
                trial = dict(chosen)
                self._add(offer, trial)
                if self._has([d for n, d in trial.items() if n not in chosen], library):
                    chosen.update(trial)
                    return
        raise NotFound(f"{library}: no package of {self.mirror.suites[0]} has it; use a base that does")

    def _listed(self, library: str) -> Iterator[_Offer]:
        """Those that hold a file of that name: in a usual place before elsewhere, short names before long."""
        folders = library_folders(self.base.tree, self.base.platform.architecture, {})
        found = [(flat(path).rpartition("/")[0] not in folders, len(n), n) for n, path in self.mirror.holders(library)]
        for _, _, name in sorted(set(found)):
            if name in self._offers:
                yield self._offers[name]

    def _has(self, debs: Iterable[Deb], library: str) -> bool:
        for one in debs:
            content = deb.read_deb(fetch(one, self.mirror.downloads), self.base.tree.place)
            if any(entry.path.rpartition("/")[2] == library for entry in content.entries):
                return True
        return False

    def _read(self) -> None:
        if self._offers:
            return
        for suite, record in self.mirror.packages():
            self._offer_of(suite.url, record)
        self.notes += self.mirror.notes

    def _offer_of(self, url: str, record: dict[str, str]) -> None:
        name, version, path = (record.get(key, "") for key in ("Package", "Version", "Filename"))
        if not name or not path or ".." in path or not record.get("Size", "").isdecimal():
            return
        known = self._offers.get(name)
        if known is None or compare(version, known.deb.version) > 0:
            pinned = Deb(
                name, version, record.get("Architecture", "all"), f"{url}/{path}",
                f"sha256:{record.get('SHA256', '')}", int(record["Size"]),
            )  # fmt: skip
            needs = ", ".join(filter(None, (record.get("Pre-Depends"), record.get("Depends"))))
            self._offers[name] = _Offer(pinned, needs)
        for group in wanted(record.get("Provides", "")):
            for one in group:
                self._provides.setdefault(one.name, []).append(name)

    def _offer(self, name: str, asker: str) -> _Offer:
        if name in self._offers:
            return self._offers[name]
        for other in self._provides.get(name, []):
            return self._offers[other]
        raise NotFound(f"{asker}: no package {name} in {', '.join(map(str, self.mirror.suites))}")

    def _add(self, offer: _Offer, chosen: dict[str, Deb]) -> None:
        """Add a package and all that it needs, which neither the base has nor was chosen before."""
        waiting = [offer]
        while waiting:
            one = waiting.pop()
            if one.deb.name in chosen:
                continue
            if len(chosen) >= _MOST:
                raise BadArtefact(f"{offer.deb.name}: needs more than {_MOST} packages; use a base that has it")
            chosen[one.deb.name] = one.deb
            for group in wanted(one.depends):
                if not any(self._is_met(choice, chosen) for choice in group):
                    waiting.append(self._best(group, one.deb.name))

    def _is_met(self, choice: Wanted, chosen: dict[str, Deb]) -> bool:
        if choice.name in chosen:
            return choice.met_by(chosen[choice.name].version)
        if choice.name in self._installed:
            return choice.met_by(self._installed[choice.name].get("Version", ""))
        return not choice.how and any(choice.name in _provided(one) for one in self._installed.values())

    def _best(self, group: Sequence[Wanted], asker: str) -> _Offer:
        for choice in group:
            found = self._offers.get(choice.name) or next(
                (self._offers[n] for n in self._provides.get(choice.name, []) if not choice.how), None
            )
            if found is not None and (found.deb.name != choice.name or choice.met_by(found.deb.version)):
                if found.deb.name in _BELOW_ALL and found.deb.name in self._installed:
                    break  # what all else runs on is the base's
                return found
        has = self._installed.get(group[0].name, {}).get("Version")
        there = f", and base {self.base.name} has {has}: use a newer one" if has else ", which the archive has not"
        raise NotFound(f"{asker} needs {' or '.join(map(str, group))}{there}")


def _provided(record: dict[str, str]) -> set[str]:
    return {one.name for group in wanted(record.get("Provides", "")) for one in group}


def fetch(pinned: Deb, downloads: Downloads) -> Path:
    """The file of a package, by its digest."""
    return downloads.get((pinned.url,), pinned.digest, pinned.size, _LARGEST)


def deb_part(debs: Sequence[Deb], libraries: Iterable[str], base: Base, downloads: Downloads) -> tuple[Part, list[str]]:
    """The layer of packages, and what to say of it. Where a loader does not look for `libraries`, it gets a link."""
    found: dict[str, Entry] = {}
    notes = []
    for one in debs:
        content = deb.read_deb(fetch(one, downloads), base.tree.place)
        found.update((entry.path, entry) for entry in content.entries)
        if content.scripts:
            notes.append(f"{one.name} {one.version}: not run: its {' and '.join(content.scripts)}")
    for link in _links(found, sorted(set(libraries)), base):
        found[link.path] = link
        notes.append(f"{link.path}: a link to {link.link}, where no loader looks by itself")
    title = "debs " + ", ".join(f"{one.name} {one.version}" for one in debs)
    paths = sha256_bytes("\n".join(sorted(found)).encode())  # the base's links decide where files come to lie
    key = (("rules", str(deb.VERSION)), ("paths", paths), *((one.name, one.digest) for one in debs))
    return Part(title, key, tuple(found.values()), True), notes


def _links(entries: dict[str, Entry], libraries: Sequence[str], base: Base) -> Iterator[Entry]:
    architecture = base.platform.architecture
    searched = set(library_folders(base.tree, architecture, base.variables))
    searched |= {real for folder in searched if (real := base.tree.resolve(folder)) is not None}
    for library in libraries:
        holders = [path for path in sorted(entries) if path.rpartition("/")[2] == library]
        if holders and all(path.rpartition("/")[0] not in searched for path in holders):
            yield Entry(base.tree.place(f"usr/lib/{triplet(architecture)}/{library}"), link="/" + holders[0])
