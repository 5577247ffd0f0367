"""ContainerPlace: endpoints in a container engine, which knows all of them by their labels.

In this machine's network a successor has the same ports and listens when it is ready, as in `process_place`. A port
that an engine publishes belongs to one container: the successor is proved on other ports, and has those when the one
before it has stopped; if it fails then, that one is started again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from gantline.errors import Denied, GantlineError, NotFound, Unreachable, UsageError

from . import container
from .awaiting import until
from .endpoint import Endpoint, described
from .engine import Engine, needed
from .key_folder import KeyFolder
from .place import Change, Status
from .record import Deployed, Record, Records, now
from .subject import Subject
from .wish import Wish, model, settled

KIND = "engine"
_PACKAGE = "dev.gantline.package.digest"


class ContainerPlace:
    """`where`: an engine's URL; empty: the one that is found. It is asked when it is needed."""

    def __init__(self, where: str = "", engine: Engine | None = None) -> None:
        self.where = engine.url if engine is not None else where
        self._engine = engine
        self._records = Records.of_user()

    @property
    def engine(self) -> Engine:
        """Unreachable, Denied."""
        if self._engine is None:
            self._engine = needed(self.where)
        return self._engine

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()

    # -- starting

    def planned(self, what: Subject, wish: Wish) -> tuple[Record, Wish]:
        """What is kept of it, before it is there."""
        if wish.shared and not self.engine.away:
            wish = settled(wish)
        return self._record(what, wish), wish

    def launch(self, record: Record, what: Subject, wish: Wish, wait_s: float, say: Callable[[str], None]) -> Record:
        """Start it and wait until it is ready."""
        there, reused = self.engine.load(what.store, what.image, what.name)
        say(f"image {what.name}: {'there already' if reused else 'loaded'}")
        found = container.start(self.engine, what.image, there, what.name, wish, wait_s)
        return _found(replace(record, details={**record.details, "image_reused": reused}), found)

    def _record(self, what: Subject, wish: Wish) -> Record:
        one = Deployed("main", what.name, what.image.id, what.image.labels.get(_PACKAGE, ""))
        details = {"wish": wish.to_json(), "manifest": what.image.descriptor.to_json()}
        return Record(wish.name, KIND, self.engine.url, model(what.image), (one,), created=now(), details=details)

    # -- what can be done with one

    def status(self, record: Record) -> Status:
        try:
            found = container.shown(self.engine, record.name)
        except NotFound:
            return Status("gone", why="the engine has no such container")
        except (Unreachable, Denied) as e:
            return Status("unreachable", why=e.message)
        if found.state in ("exited", "dead", "stopped"):
            return Status("exited", why=f"exit status {found.code}", code=found.code)
        return Status(found.state, found.url, found.grpc)

    def logs(self, record: Record, tail: int | None, follow: bool) -> Iterator[bytes]:
        return container.logs(self.engine, record.name, tail, follow)

    def keys(self, record: Record) -> Path:
        return KeyFolder(self._records.folder(record.name)).mounted

    def delete(self, record: Record) -> None:
        container.delete(self.engine, record.name)

    def update(self, record: Record, change: Change) -> Record:
        engine = self.engine
        old, *others = container.all_of(engine, record.name) or [None]
        if old is None or old.status != "running" or "wish" not in record.details:
            raise UsageError(
                f"endpoint {record.name}: {'does not run' if record.details else 'was not started by this user'}, so "
                f"nothing takes its place; `gantline endpoint delete {record.name}`, then `gantline run`"
            )
        for left in others:  # by an update that was killed
            container.remove(engine, left)
        before = Wish.from_json(record.details["wish"])
        what = change.subject(record, engine.platform)
        wish = replace(before, variables=change.applied(before.variables))
        there, _ = engine.load(what.store, what.image, what.name)
        handed = self._handed_over if wish.shared and not engine.away else self._proved_and_exchanged
        found = handed(old, _Next(what, there, wish), change)
        after = self._record(what, replace(before, variables=wish.variables))
        return _found(replace(after, keys=record.keys, created=record.created), found)

    def _handed_over(self, old: Any, new: _Next, change: Change) -> Endpoint:
        engine, wish = self.engine, replace(new.wish, joins=True, arguments=(*new.wish.arguments, "--json"))
        change.say("starting the new one beside the old one, on the same ports")
        made = container.create(engine, new.what.image, new.there, new.what.name, wish, wish.name + container.NEXT)
        container.begin(engine, made, wish, change.wait_s)
        change.say("the new one is ready and serves; stopping the old one")
        return self._put_away(old, made, wish.name)

    def _proved_and_exchanged(self, old: Any, new: _Next, change: Change) -> Endpoint:
        engine, wish = self.engine, new.wish
        called = wish.name + container.NEXT
        change.say("trying the new one on other ports")
        trial = replace(wish, port=0, grpc_port=0)
        made = container.create(engine, new.what.image, new.there, new.what.name, trial, called)
        container.begin(engine, made, trial, change.wait_s)
        container.remove(engine, made)
        final = container.create(engine, new.what.image, new.there, new.what.name, self._ports(old, wish), called)
        change.say("it is ready; stopping the old one, whose ports it gets")
        try:
            container.stop(engine, old)
            container.begin(engine, final, wish, change.wait_s)
        except BaseException:
            self._restored(old, final, wish, change.wait_s)
            raise
        return self._put_away(old, final, wish.name)

    def _ports(self, old: Any, wish: Wish) -> Wish:
        """Those that the engine chose stay, too."""
        found = described(old.attrs, self.engine.away)
        ports = [int(at.rpartition(":")[2] or 0) for at in (found.url, found.grpc)]
        return replace(wish, port=wish.port or ports[0], grpc_port=wish.grpc_port or ports[1])

    def _restored(self, old: Any, final: Any, wish: Wish, wait_s: float) -> None:
        """The one from before serves again."""
        engine = self.engine
        with suppress(GantlineError):
            container.remove(engine, final)
        with engine.spoken():
            old.start()
            old.reload()
        found = described(old.attrs, engine.away)
        until(
            lambda: container.ready_at(found, wish), wait_s, lambda: False, lambda: container.log_of(engine, old),
            f"the container from before, {old.name}",
        )  # fmt: skip

    def _put_away(self, old: Any, new: Any, name: str) -> Endpoint:
        engine = self.engine
        with suppress(NotFound):
            container.stop(engine, old)
        container.remove(engine, old)
        with engine.spoken():
            new.rename(name)
            new.reload()
        return described(new.attrs, engine.away)


class _Next:
    """What is to take a container's place: an image, what the engine calls it, and how it is to run."""

    def __init__(self, what: Subject, there: str, wish: Wish) -> None:
        self.what, self.there, self.wish = what, there, wish


def _found(record: Record, found: Endpoint) -> Record:
    details = {**record.details, "container": found.container}
    return replace(record, url=found.url, grpc=found.grpc, details=details)
