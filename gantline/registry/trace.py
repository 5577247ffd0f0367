"""Trace: from a digest to all that it came from and all that was made of it; what is not known is said to be so."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, or_, select

from ..errors import NotFound, UsageError
from ..oci.store import Store
from . import tables
from .holders import Holder, holders
from .search import of_package
from .usage import served
from .version import Version

_DIGEST = re.compile(r"(sha256:)?([0-9a-f]{8,64})")


@dataclass(frozen=True, slots=True)
class Link:
    """One link of the chain. `values` is empty when it is missing; `hint` says how it would have come there."""

    what: str
    values: tuple[str, ...]
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Trace:
    """What a digest belongs to: the package, its versions, and the links, in the order in which things were made."""

    digest: str
    found_as: str  # package, image, or a file's path
    package: str
    versions: tuple[Version, ...]
    links: tuple[Link, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(link.what for link in self.links if not link.values)

    def to_json(self) -> dict[str, Any]:
        """As `--json` shows it."""
        return {
            "digest": self.digest, "found_as": self.found_as, "package": self.package,
            "versions": [v.to_json() for v in self.versions],
            "links": {link.what: list(link.values) for link in self.links}, "missing": list(self.missing),
        }  # fmt: skip


def is_digest(text: str) -> bool:
    """Whether it is the beginning of a digest, and no name."""
    return text.startswith("sha256:") or _DIGEST.fullmatch(text.strip().lower()) is not None


def trace(connection: Connection, digest: str, where: str, now: int, stores: Iterable[Store] = ()) -> Trace:
    """Follow a package's, an image's or a file's digest; 8 hexadecimal digits of it do, if no other begins so.

    `stores` are looked through for what is not noted: artifacts, and parts of images.
    """
    match = _DIGEST.fullmatch(digest.strip().lower())
    if not match:
        raise UsageError(
            f"{digest!r:.90} is no digest; expected sha256:<64 hexadecimal digits>, or the first 8 of them"
        )
    whole, package, found_as = _owner(connection, "sha256:" + match[2], where, stores)
    versions = tuple(of_package(connection, package))
    return Trace(whole, found_as, package, versions, tuple(_links(connection, package, versions, now)))


def _owner(connection: Connection, begin: str, where: str, stores: Iterable[Store]) -> tuple[str, str, str]:
    """The whole digest, its package, and what it is."""
    found = _noted(connection, begin)
    if not found:
        parts = [part for store in stores for part in holders(store, begin)]
        found = {part.digest: (package, part.what) for part in parts if (package := _package_of(connection, part))}
        if parts and not found:
            part = parts[0]
            last = "`gantline build` records it" if not part.package else "`gantline register` keeps it"
            of = f"package {part.package}" if part.package else f"image {part.manifest}"
            raise NotFound(f"registry {where}: {part.digest} ({part.what}) is of {of}, which it does not know; {last}")
    if not found:
        raise NotFound(f"registry {where}: knows nothing of {begin}: no package, file, image, layer or lock has it")
    if len(found) > 1:
        raise UsageError(
            f"{begin}: {len(found)} digests begin so ({', '.join(sorted(found)[:3])}, ...); give more of it"
        )
    ((whole, (package, what)),) = found.items()
    return whole, package, what


def _package_of(connection: Connection, part: Holder) -> str:
    """The package, as the registry knows it, of what an image or an artifact is made of."""
    noted = _noted(connection, part.package or part.manifest)
    return next((package for package, _ in noted.values()), "")


def _noted(connection: Connection, begin: str) -> dict[str, tuple[str, str]]:
    """From each digest that begins so, and is noted, to its package and to what it is."""
    f, i = tables.files.c, tables.images.c
    found: dict[str, tuple[str, str]] = {}
    files = select(f.digest, f.package, f.path).where(f.digest.startswith(begin)).order_by(f.package)
    for file in connection.execute(files):
        mine = (file.package, "package" if file.digest == file.package else file.path)
        found[file.digest] = mine if file.digest == file.package else found.get(file.digest, mine)
    condition = or_(i.digest.startswith(begin), i.id.startswith(begin), i.lock.startswith(begin))
    for image in connection.execute(select(i.digest, i.id, i.lock, i.package).where(condition)):
        for digest, what in ((image.digest, "image"), (image.id, "image ID"), (image.lock, "lock")):
            if digest.startswith(begin):
                found[digest] = (image.package, what)
    return found


def _links(connection: Connection, package: str, versions: Iterable[Version], now: int) -> Iterable[Link]:
    known = list(versions)
    lineage = [v.lineage for v in known]
    training = [v.training for v in known if v.training]
    ids = (v.id + (" (removed)" if v.removed else "") for v in known)
    yield Link("version", _unique(ids), "`gantline register` gives it one")
    runs = (
        " ".join(p for p in (v.run, _named(v.training.get("experiment"), "experiment")) if p) for v in known if v.run
    )
    yield Link("run", _unique(runs), "register it with --run ID")
    yield Link(
        "parameters", _unique(_pairs(t.get("params")) for t in training), "register it with --run and --tracking"
    )
    yield Link("metrics", _unique(_pairs(t.get("metrics")) for t in training), "register it with --run and --tracking")
    data = [f"{d.get('name', '')} {d.get('digest', '')}".strip() for t in training for d in t.get("datasets", ())]
    yield Link("data", _unique([*data, *(str(x.get("dataset", "")) for x in lineage)]), "package it with --dataset")
    commits = [_commit(t) for t in training] + [_commit(x) for x in lineage]
    yield Link("commit", _unique(commits), "package it inside a git checkout, or register it with --run")
    sources = (f"{x.get('source', '')} {x.get('source_digest', '')}".strip() for x in lineage)
    yield Link("source", _unique(sources), "package it from a file")
    yield Link("parent", _unique(_parent(connection, v.parent) for v in known), "register it with --parent REF")
    yield from _made(connection, package)
    serving = (f"{s.name}:{s.version} by {s}" for s in served(connection, package, now))
    yield Link("server", _unique(serving), "`gantline serve registry://...` says so while it runs")


def _made(connection: Connection, package: str) -> Iterable[Link]:
    i, d = tables.images, tables.deployments
    images = connection.execute(select(i).where(i.c.package == package).order_by(i.c.created)).all()
    yield Link(
        "lock", _unique(f"{r.lock} {r.platform}" if r.lock else "" for r in images), "`gantline build` records it"
    )
    told = (" ".join(p for p in (r.name, r.platform, r.digest) if p) for r in images)
    yield Link("image", _unique(told), "`gantline build` records it")
    rows = connection.execute(select(d).where(d.c.package == package).order_by(d.c.created)).all()
    yield Link(
        "deployment", _unique(f"{r.name} on {r.target}" for r in rows), "`gantline deploy` and `gantline run` record it"
    )


def _commit(lineage: dict[str, Any]) -> str:
    if "run_git_commit" in lineage:  # what trained it, where the package was made of an MLflow model
        lineage = {key.removeprefix("run_"): value for key, value in lineage.items()}
    commit = str(lineage.get("git_commit", ""))
    changed = " with changes" if commit and lineage.get("git_dirty") else ""
    remote = f" of {lineage['git_remote']}" if commit and lineage.get("git_remote") else ""
    return commit + changed + remote


def _parent(connection: Connection, digest: str) -> str:
    if not digest:
        return ""
    return " ".join([*(v.id for v in of_package(connection, digest)), digest])


def _pairs(values: Any) -> str:
    return ", ".join(f"{k}={v}" for k, v in sorted((values or {}).items()))


def _named(value: Any, what: str) -> str:
    return f"({what} {value})" if value else ""


def _unique(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(v for v in values if v))
