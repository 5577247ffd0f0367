"""Registry: packages under names and integer versions, aliases that move, and the log that tells who did what, when.

What Python programs use as `gantline.Registry`; the verbs of the command line are its methods. Each method that changes
something is one transaction with its line in the log: it has happened, log and all, or it has not.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

from sqlalchemy import Connection, delete, func, insert, select, update

from ..errors import BadArtefact, NotFound, UsageError
from ..home import home
from ..oci.descriptor import Descriptor
from ..oci.store import Store
from ..packages import Package, check_name
from . import event_log, moment, tables
from .blob_store import BlobStore, LocalBlobs, open_blobs
from .checkout import check_out
from .database import Database, clock
from .event_log import PROMOTE, RELEASE, ROLLBACK, Event, Period, periods, pointed_at
from .garbage import Collected, Rule, collect
from .labels import check_labels, put_tags
from .place import Place
from .reference import Reference, check_alias
from .registration import Registration, register
from .search import Wanted, files_of, find, one
from .trace import Trace, is_digest, trace
from .training import read_training
from .usage import check_unused
from .version import Version

# `list` is a method of the class below
Versions: TypeAlias = list[Version]
Events: TypeAlias = list[Event]
Periods: TypeAlias = list[Period]
Names: TypeAlias = list[str]


class Registry:
    """One registry. Open it with `Registry.open()`; it may be used by many threads and processes at once."""

    def __init__(self, place: Place, who: str = "") -> None:
        self.place = place
        self.who = who or whoever()
        self.database = Database(place)
        self._blobs: BlobStore | None = None

    @classmethod
    def open(cls, where: str | os.PathLike[str] | None = None, who: str = "") -> Registry:
        """A directory or `postgresql://USER@HOST/DATABASE`; None: GANTLINE_REGISTRY, else this user's own.

        `who`: the name in the log (default: user@host). Nothing is made before something is registered.
        """
        return cls(Place.find(where), who)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Registry({str(self.place)!r})"

    def close(self) -> None:
        """Let go of connections. What was checked out stays in use by this process."""
        self.database.close()

    def make(self, blobs: str = "") -> bool:
        """Make the registry, with its blobs at `blobs` (a directory or a URL of fsspec); False if it is there."""
        if blobs and "://" not in blobs:
            blobs = os.path.abspath(blobs)  # whoever comes later is somewhere else
        said = blobs or self.place.blobs
        open_blobs(said, self.place)
        made = self.database.make(said, moment.now())
        if not made and blobs and self.blobs_at != blobs:
            raise UsageError(f"registry {self.place}: is there, with its blobs at {self.blobs_at}; they stay there")
        return made

    def migrate(self) -> tuple[int, int]:
        """Bring an older Gantline's registry to this one's format; the format before and after."""
        return self.database.migrate()

    @property
    def blobs_at(self) -> str:
        """What the registry says of where its blobs are."""
        with self.database.reading() as connection:
            return str(connection.execute(select(tables.registry.c.blobs)).scalar_one())

    @property
    def blobs(self) -> BlobStore:
        if self._blobs is None:
            self._blobs = open_blobs(self.blobs_at, self.place)
        return self._blobs

    # what is registered

    def register(
        self,
        package: str | os.PathLike[str] | Package,
        *,
        alias: str = "",
        tags: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
        run: str = "",
        tracking: str = "",
        parent: str = "",
        new_version: bool = False,
    ) -> Version:
        """Keep a package, and give it the next version of its name; one that is there gives its version back.

        `run`: an MLflow run id (default: the package's lineage), looked up in `tracking` (default:
        MLFLOW_TRACKING_URI). `parent`: a REF of this registry. UsageError for another run, parent or other properties
        than its version has.
        """
        opened = self._opened(package)
        wanted = Registration(
            opened,
            alias=check_alias(alias) if alias else "",
            tags=check_labels(tags or {}, "tag"),
            properties=check_labels(properties or {}, "property"),
            run=run or str(opened.lineage().get("run", "")),
            parent=self.get(parent).digest if parent else "",
            asked=bool(run),
            new_version=new_version,
        )
        wanted.training = read_training(wanted.run, tracking, asked=bool(run)) if wanted.run else {}
        if not self._made():
            self.make()
        return register(self.database, self.blobs, wanted, self.who)

    def _opened(self, package: str | os.PathLike[str] | Package) -> Package:
        opened = package if isinstance(package, Package) else Package.open(package)
        if opened.digest is None:
            raise BadArtefact(f"{opened.path}: a bare model has no manifest; `gantline package` makes a package of it")
        opened.verify_files()
        return opened

    def _made(self) -> bool:
        try:
            with self.database.reading():
                return True
        except NotFound:
            return False

    def get(self, ref: str | Reference) -> Version:
        """The version that a REF means (`iris`, `iris:3`, `iris@champion`, `registry://...`). NotFound says what is."""
        reference = ref if isinstance(ref, Reference) else Reference.parse(ref)
        with self.database.reading() as connection:
            return one(connection, reference, str(self.place))

    def list(
        self,
        name: str = "",
        *,
        tags: Mapping[str, str | None] | None = None,
        properties: Mapping[str, str | None] | None = None,
        run: str = "",
        framework: str = "",
        latest: bool = False,
        dataset: str = "",
    ) -> Versions:
        """The versions for which all that is said holds, by name and newest first; a label's None is any value.

        `dataset`: the name or the digest of data that it was trained on.
        """
        wanted = Wanted(
            name and check_name(name), tags or {}, properties or {}, run, framework, latest, dataset=dataset
        )
        with self.database.reading() as connection:
            return find(connection, wanted)

    def path(self, ref: str | Reference) -> Path:
        """The package as a directory on this machine, brought here and hashed if need be; do not write into it.

        This process uses it from now on: garbage collection leaves it.
        """
        version = self.get(ref)
        with self.database.reading() as connection:
            files = files_of(connection, version.digest)
        return check_out(version, files, self.blobs)

    def package(self, ref: str | Reference) -> Package:
        """The package that a REF means, opened."""
        return Package.open(self.path(ref))

    # what changes

    def tag(self, ref: str, tags: Mapping[str, str | None]) -> Version:
        """Set tags of a version, or take them away (None)."""
        reference = Reference.parse(ref)
        put = check_labels({k: v for k, v in tags.items() if v is not None}, "tag")
        with self.database.writing() as connection:
            version = one(connection, reference, str(self.place))
            put_tags(
                connection,
                version,
                {**put, **{k: None for k, v in tags.items() if v is None}},
                clock(connection),
                self.who,
            )
            return one(connection, Reference(version.name, version.version), str(self.place))

    def promote(self, ref: str, alias: str) -> Event:
        """Let an alias point at a version; the log's line, with what it pointed at before."""
        check_alias(alias)
        with self.database.writing() as connection:
            version = one(connection, Reference.parse(ref), str(self.place))
            return event_log.point(
                connection, clock(connection), self.who, PROMOTE, version.name, alias, version.version
            )

    def release(self, name: str, alias: str) -> Event:
        """Take an alias away; its history stays."""
        with self.database.writing() as connection:
            one(connection, Reference(check_name(name), alias=check_alias(alias)), str(self.place))
            return event_log.point(connection, clock(connection), self.who, RELEASE, name, alias, None)

    def rollback(self, name: str, alias: str, to: str | int) -> Event:
        """Let an alias point again at what it pointed at: a version, or a time (ISO 8601, "2 hours ago")."""
        check_alias(alias)
        with self.database.writing() as connection:
            known = self._known(event_log.read(connection, check_name(name), alias), name, alias)
            version = _earlier(known, to, clock(connection), f"registry {self.place}: '{name}@{alias}'")
            one(connection, Reference(name, version), str(self.place))
            return event_log.point(connection, clock(connection), self.who, ROLLBACK, name, alias, version)

    def remove(self, ref: str) -> Version:
        """Forget a version: nothing finds it, its number is not given again, the log keeps it; gc takes its blobs.

        UsageError while an alias points at it, a server says that it serves it, or a deployment is recorded to run it.
        """
        reference = Reference.parse(ref)
        if not reference.version:
            raise UsageError(f"{ref}: which version? expected NAME:VERSION")
        with self.database.writing() as connection:
            version = one(connection, reference, str(self.place))
            if version.aliases:
                raise UsageError(f"{version.id} is {', '.join(version.aliases)}; promote another version first")
            now = clock(connection)
            check_unused(connection, version, now)
            v = tables.versions.c
            this = (v.name == version.name) & (v.version == version.version)
            connection.execute(update(tables.versions).where(this).values(removed=now))
            was = {"digest": version.digest}
            event_log.append(connection, now, self.who, "remove", version.name, version.version, was=was)
            return version

    # what was

    def moved(self, since: int | None) -> tuple[int, frozenset[tuple[str, str]]]:
        """Where the log ends now, and the aliases (name, alias) that were moved after its line `since` (None: none)."""
        with self.database.reading() as connection:
            return event_log.moved(connection, since)

    def history(self, name: str) -> Events:
        """All that was done to a model, in order. NotFound for one that never was."""
        with self.database.reading() as connection:
            found = event_log.read(connection, check_name(name))
            if not found:
                one(connection, Reference(name), str(self.place))
            return found

    def periods(self, name: str, alias: str) -> Periods:
        """What an alias pointed at, from when until when, oldest first."""
        with self.database.reading() as connection:
            events = event_log.read(connection, check_name(name), check_alias(alias))
        return self._known(events, name, alias)

    def alias_at(self, name: str, alias: str, time_said: str) -> int | None:
        """The version that an alias pointed at, at a time (ISO 8601, "2 hours ago"); None for none."""
        known = self.periods(name, alias)
        with self.database.reading() as connection:
            now = clock(connection)
        return pointed_at(known, moment.read_moment(time_said, now, known[-1].since))

    def _known(self, events: Events, name: str, alias: str) -> Periods:
        if not events:
            raise NotFound(f"registry {self.place}: '{name}' never had an alias {alias!r}; `gantline history {name}`")
        return periods(events)

    def trace(self, digest: str) -> Trace:
        """What a digest (of a package, file, image, layer or lock; or a REF's) came from and was made into."""
        begin = digest if is_digest(digest) else self.get(digest).digest
        with self.database.reading() as connection:
            return trace(connection, begin, str(self.place), clock(connection), self._stores())

    def _stores(self) -> Iterator[Store]:
        """Where images of packages may be: this user's store, and the registry's own blobs."""
        yield Store(home() / "store")
        if isinstance(self.blobs, LocalBlobs) and self.blobs.store.root != home() / "store":
            yield self.blobs.store

    def collect(
        self, older_than: str = "1 day", dry_run: bool = False, untagged: bool = False, keep: Iterable[Descriptor] = ()
    ) -> Collected:
        """Remove blobs and checkouts that nothing refers to and nobody touched for so long.

        `untagged`: what was pushed to a server of this registry and no tag leads to any more, as well, unless it is in
        use. `keep`: manifests of images in the store that are in use elsewhere. A store in which nothing was ever
        registered gets a registry for it.
        """
        if self.place.has_store and not self._made():
            self.make()
        with self.database.reading() as connection:
            now = clock(connection)
        rule = Rule(moment.read_span(older_than), dry_run, untagged, tuple(keep))
        return collect(self.database, self.blobs, now, rule)

    # what was made of packages

    def record_image(self, package: str, digest: str, *, id: str, name: str, platform: str, lock: str = "") -> None:
        """Note that an image (its manifest's digest, and its ID) holds a package, and the lock it was made with."""
        row = {
            "digest": digest, "package": package, "id": id, "name": name, "platform": platform, "lock": lock,
        }  # fmt: skip
        self._record("image", tables.images, ("digest", "package"), row)

    def record_deployment(self, name: str, package: str, *, target: str, image: str = "") -> None:
        """Note that an endpoint's deployment runs a package, and no longer the one that it ran."""
        row = {"name": name, "package": package, "image": image, "target": target}
        self._record("deployment", tables.deployments, ("name",), row)

    def retire(self, endpoint: str) -> Names:
        """Note that an endpoint, or one deployment of it (ENDPOINT/DEPLOYMENT), runs no more; what was forgotten."""
        d = tables.deployments
        with self.database.writing() as connection:
            rows = connection.execute(select(d).order_by(d.c.name)).mappings().all()
            gone = [dict(row) for row in rows if row["name"] == endpoint or row["name"].startswith(endpoint + "/")]
            for row in gone:
                connection.execute(delete(d).where(d.c.name == row["name"]))
                was = {key: row[key] for key in ("name", "package", "image", "target")}
                self._note(connection, "retire", row["package"], was=was)
            return [str(row["name"]) for row in gone]

    def _record(self, action: str, table: Any, keys: tuple[str, ...], row: dict[str, str]) -> None:
        if not self._made():
            self.make()
        with self.database.writing() as connection:
            same = [table.c[key] == row[key] for key in keys]
            if connection.execute(select(table).where(*(table.c[k] == v for k, v in row.items()))).first():
                return  # noted already
            connection.execute(delete(table).where(*same))
            connection.execute(insert(table).values(**row, created=clock(connection)))
            self._note(connection, action, row["package"], became=row)

    def _note(self, connection: Connection, action: str, package: str, was: Any = None, became: Any = None) -> None:
        """A line about what is made of a package, or was: of its newest version."""
        v = tables.versions.c
        query = select(v.name, func.max(v.version)).where(v.package == package).group_by(v.name)
        owner = connection.execute(query).first()
        model, version = owner if owner else ("", None)
        event_log.append(connection, clock(connection), self.who, action, model, version, was=was, became=became)


def _earlier(known: list[Period], to: str | int, now: int, where: str) -> int:
    """The version that a rollback means. UsageError where the alias never pointed there."""
    if isinstance(to, int) or (to.isascii() and to.isdigit()):
        if all(p.version != int(to) for p in known):
            were = ", ".join(str(v) for v in sorted({p.version for p in known if p.version}))
            raise UsageError(f"{where} never pointed at version {to} (but at {were}); `gantline promote` takes any")
        return int(to)
    then = moment.read_moment(to, now, known[-1].since)
    found = pointed_at(known, then)
    if found is None:
        raise NotFound(
            f"{where} pointed at nothing at {moment.shown(then)}; it was first set at {moment.shown(known[0].since)}"
        )
    return found


def whoever() -> str:
    """user@host, as the log names who did something."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user without a name
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return f"{user}@{socket.gethostname()}"
