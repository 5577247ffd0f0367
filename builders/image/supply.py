"""Supply: what an image needs besides its package: the wheels of its lock, and the lock itself."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from gantline.blobs import canonical_json, sha256_bytes, sha256_file
from gantline.errors import GantlineError, UsageError
from gantline.home import home
from gantline.oci.platforms import Platform
from gantline.packages import Package

from ..lock.covering import check_covers
from ..lock.download import no_room
from ..lock.pylock import Lock, Locked
from ..lock.request import everything
from ..lock.resolve import lock_package
from ..lock.sources import Sources, local_path
from ..lock.target import Target
from ..lock.wheelhouse import fetch, in_steps
from . import bill, model_bill, places
from .base import Base
from .bill import Below, Software
from .build import Supplies, Wheels, created
from .content import Part, parts
from .distribution import Distribution
from .entry import of_bytes
from .model_bill import Materials
from .supplement import supplement
from .wheel import Wheel

Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Supplier:
    """`locks`: those that the user gives, by platform; `anew`: resolve even where an earlier build has resolved.

    `apt`: Debian packages to add besides what wheels need; `mirror`: the archive that has them, if not the base's own;
    `allowed`: libraries that may be missing, besides those of the lock.
    """

    sources: Sources
    log: Log
    locks: Mapping[Platform, Lock] = field(default_factory=dict)
    anew: bool = False
    apt: tuple[str, ...] = ()
    mirror: str = ""
    allowed: tuple[str, ...] = ()

    def __call__(self, package: Package, base: Base) -> Supplies:
        """The wheels for a base, what it lacks for them, and the evidence. UsageError for the lock of another base."""
        lock = self.lock(package, base)
        found = fetch(lock, sources=self.sources, progress=in_steps(self.log))
        wheels = _parted(lock, dict(zip(lock.packages, found, strict=True)))
        own = [entry for part in parts(package) for entry in part.entries]
        offline = self.sources.offline
        allowed = tuple(sorted({*self.allowed, *lock.allowed}))
        more = supplement(base, wheels, own, self.apt, lock.debs, self.mirror, offline, self.anew, allowed)
        for note in more.notes:
            self.log(f"{base.platform}: {note}")
        lock = replace(lock, debs=more.debs, allowed=allowed)
        software, evidence = _evidence(package, base, lock, found)
        return Supplies(wheels, (*more.parts, software), (evidence,), sha256_bytes(lock.to_bytes()))

    def lock(self, package: Package, base: Base) -> Lock:
        """The lock given, else the one of an earlier build that asked for the same, else a new one."""
        given = self.locks.get(base.platform)
        if given is not None:
            _check(given, base)
            check_covers(given, package, self.sources)
            return given
        path = home() / "locks" / f"{_key(package, base, self.sources)}.toml"
        if not self.anew and (kept := _read(path)) is not None and _still_there(kept, self.sources):
            return kept
        self.log(f"{base.platform}: resolving what {package.name} and the runtime need")
        made = lock_package(package, base.platform, base.python, base.glibc, self.sources, self.log, base)
        _write(path, made.to_bytes())
        return made


def _parted(lock: Lock, wheels: Mapping[Locked, Wheel]) -> Wheels:
    def of(group: str) -> tuple[Wheel, ...]:
        return tuple(wheels[package] for package in lock.packages if group in package.groups)

    return Wheels(of("runtime"), of("script")) if lock.apart else Wheels(tuple(wheels.values()))


def _evidence(package: Package, base: Base, lock: Lock, wheels: Sequence[Wheel]) -> tuple[Part, Part]:
    """What the image is made of: its software (lock, bills of materials, licences), and what changes with the model."""
    below = [Below(name, one["Version"], one["Architecture"]) for name, one in sorted(base.installed().items())]
    below += [Below(one.name, one.version, one.architecture) for one in lock.debs or ()]
    described = [Distribution.read(wheel) for wheel in sorted(wheels, key=lambda w: (w.distribution, w.digest))]
    software = Software(described, below, base.name, created(), base.system, base.own_python)
    bills = {
        f"{places.EVIDENCE}/software.cdx.json": canonical_json(bill.cyclonedx(software)),
        f"{places.EVIDENCE}/software.spdx.json": canonical_json(bill.spdx(software)),
    }
    others = {
        f"{places.EVIDENCE}/pylock.toml": lock.to_bytes(),
        f"{places.EVIDENCE}/licences.txt": bill.licences(software).encode(),
    }
    one, other = bills.items()
    materials = Materials(package.manifest, software, (one, other))
    image = {
        f"{places.EVIDENCE}/sbom.cdx.json": canonical_json(model_bill.cyclonedx(materials)),
        f"{places.EVIDENCE}/sbom.spdx.json": canonical_json(model_bill.spdx(materials)),
    }
    return _written("software", bills | others), _written("evidence", image)


def _written(title: str, files: Mapping[str, bytes]) -> Part:
    entries = tuple(of_bytes(path, data) for path, data in files.items())
    return Part(title, tuple((path, sha256_bytes(data)) for path, data in files.items()), entries, True)


def _check(lock: Lock, base: Base) -> None:
    wanted = Target(base.platform, base.python, base.glibc)
    if lock.python != base.python:
        have, other = (".".join(map(str, pair)) for pair in (base.python, lock.python))
        raise UsageError(
            f"the lock is for Python {other}, and base {base.name} has {have}; lock again, or take another base"
        )
    if lock.target.glibc > wanted.glibc:
        have, other = (".".join(map(str, pair)) for pair in (base.glibc, lock.target.glibc))
        raise UsageError(
            f"the lock is for glibc {other}, and base {base.name} has {have}; lock again with --glibc {have}"
        )


def _key(package: Package, base: Base, sources: Sources) -> str:
    """What a resolution depends on, but for what indexes have by now."""
    asked, sources = everything(package, sources)
    tree = {
        "asked": sorted([one.shown, one.group, *one.hashes] for one in asked),
        "preferred": package.manifest.tried,
        "target": str(Target(base.platform, base.python, base.glibc)),
        "indexes": list(sources.indexes),
        "folders": [str(folder) for folder in sources.folders],
        "constraints": [[place, _text(place)] for place in sources.constraints],
        "rules": [sources.prereleases, [sources.build.where, sources.build.image] if sources.build else None],
    }
    return hashlib.sha256(canonical_json(tree)).hexdigest()


def _text(place: str) -> str:
    """What a file of constraints says; nothing for one that is not here, which the resolver will say."""
    try:
        return Path(local_path(place)).read_text("utf-8", "replace")
    except OSError:
        return ""


def _still_there(lock: Lock, sources: Sources) -> bool:
    """Whether no wheel of a directory has been made anew under its name since, as users do with their own."""
    for one in lock.packages if sources.folders else ():
        files = [] if one.url else [at for folder in sources.folders if (at := folder / one.file).is_file()]
        if files and all(at.stat().st_size != one.size or sha256_file(at) != one.digest for at in files):
            return False
    return True


def _read(path: Path) -> Lock | None:
    try:
        return Lock.read(path)
    except GantlineError:
        return None  # there is none, or none that can be used


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".lock.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as f:
                f.write(data)
            os.replace(name, path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(name)
    except OSError as e:
        raise no_room(path, e) from e
