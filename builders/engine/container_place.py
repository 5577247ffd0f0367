"""ContainerPlace: endpoints in a container engine, which knows all of them by their labels.

In this machine's network, and in an anchor's, a successor has the same ports and listens when it is ready, as in
`process_place`. Else (a container that has its published ports itself, a runtime too old for that) the successor is
proved on other ports, and has those when the one before it has stopped; if it fails then, that one is started again.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from gantline.errors import Denied, GantlineError, NotFound, Unreachable, UsageError

from . import container
from .awaiting import ready, until
from .endpoint import Endpoint, described
from .engine import Engine, needed
from .key_folder import KeyFolder
from .place import Change, Status
from .record import Deployed, Record, Records, now
from .subject import Subject
from .wish import Wish, can_share, model, settled

KIND = "engine"


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
        wish = replace(wish, offers=can_share(what.image), mark=secrets.token_hex(8))
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
        one = Deployed("main", what.name, what.image.id, what.image.package)
        details = {"wish": wish.to_json(), "manifest": what.image.descriptor.to_json()}
        return Record(wish.name, KIND, self.engine.url, model(what.image), (one,), created=now(), details=details)

    # -- what can be done with one

    def status(self, record: Record) -> Status:
        try:
            found = container.shown(self.engine, record.name, _mark(record))
        except NotFound:
            return Status("gone", why="the engine has no such container")
        except (Unreachable, Denied) as e:
            return Status("unreachable", why=e.message)
        if found.state in ("exited", "dead", "stopped"):
            return Status("exited", why=f"exit status {found.code}", code=found.code)
        if found.state == "gone":
            return Status("gone", why="the engine has the container with its ports alone, and none that serves")
        if found.state == "cut off":
            return Status(found.state, why="the container with its ports has ended; delete it, and run it again")
        return Status(found.state, found.url, found.grpc)

    def logs(self, record: Record, tail: int | None, follow: bool) -> Iterator[bytes]:
        return container.logs(self.engine, record.name, tail, follow, _mark(record))

    def keys(self, record: Record) -> Path:
        return KeyFolder(self._records.folder(record.name)).mounted

    def delete(self, record: Record) -> None:
        container.delete(self.engine, record.name, _mark(record))

    def update(self, record: Record, change: Change) -> Record:
        engine = self.engine
        old, anchor = self._serving(record)
        before = Wish.from_json(record.details["wish"])
        what = change.subject(record, engine.platform)
        kept = replace(before, variables=change.applied(before.variables), offers=can_share(what.image))
        there, _ = engine.load(what.store, what.image, what.name)
        serves = described(old.attrs, engine.away)
        held = replace(kept, port=serves.port, grpc_port=serves.grpc_port)  # those that the engine chose, too
        wish = replace(held, anchor=anchor.id if serves.network == "anchored" else "")
        beside = serves.network != "published" and not (wish.shared and engine.away) and serves.offers and wish.offers
        handed = self._handed_over if beside else self._proved_and_exchanged
        found = handed(old, _Next(what, there, wish), change)
        after = self._record(what, kept)
        return _found(replace(after, keys=record.keys, created=record.created), found)

    def _serving(self, record: Record) -> tuple[Any, Any]:
        """What serves, under its own name, and what has its ports, if that is another; what an update that was killed
        has left beside it goes. UsageError where nothing serves."""
        found = container.shown(self.engine, record.name, _mark(record)) if record.details else None
        if found is None or found.state != "running" or "wish" not in record.details:
            why = f"is {found.state}" if found else "was not started by this user"
            raise UsageError(
                f"endpoint {record.name}: {why}, so nothing takes its place; "
                f"`gantline endpoint delete {record.name}`, then `gantline run`"
            )
        own, *others = container.all_of(self.engine, record.name, _mark(record))
        anchor = next((one for one in others if container.is_anchor(one)), None)
        for left in others:
            if left is not anchor:
                with suppress(NotFound):
                    container.stop(self.engine, left)  # it may have taken over already
                container.remove(self.engine, left)
        self._call(own, record.name)
        return own, anchor

    def _call(self, found: Any, name: str) -> None:
        if found.name != name:
            with self.engine.spoken():
                found.rename(name)
                found.reload()

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
        trial = replace(wish, port=0, grpc_port=0, anchor="")
        trial = settled(trial) if wish.shared and not engine.away else trial
        made = container.create(engine, new.what.image, new.there, new.what.name, trial, called)
        container.begin(engine, made, trial, change.wait_s)
        container.remove(engine, made)
        final = container.create(engine, new.what.image, new.there, new.what.name, wish, called)
        change.say("it is ready; stopping the old one, whose ports it gets")
        try:
            container.stop(engine, old)
            container.begin(engine, final, wish, change.wait_s)
        except BaseException:
            self._restored(old, final, change.wait_s)
            raise
        return self._put_away(old, final, wish.name)

    def _restored(self, old: Any, final: Any, wait_s: float) -> None:
        """The one from before serves again."""
        engine = self.engine
        with suppress(GantlineError):
            container.remove(engine, final)
        with engine.spoken():
            old.start()
            old.reload()
        found = described(old.attrs, engine.away)
        until(
            lambda: ready(found.url), wait_s, lambda: False, lambda: container.log_of(engine, old),
            f"the container from before, {old.name}",
        )  # fmt: skip

    def _put_away(self, old: Any, new: Any, name: str) -> Endpoint:
        engine = self.engine
        with suppress(NotFound):
            container.stop(engine, old)
        container.remove(engine, old)
        self._call(new, name)
        return described(new.attrs, engine.away)


class _Next:
    """What is to take a container's place: an image, what the engine calls it, and how it is to run."""

    def __init__(self, what: Subject, there: str, wish: Wish) -> None:
        self.what, self.there, self.wish = what, there, wish


def _mark(record: Record) -> str:
    return str((record.details.get("wish") or {}).get("mark", ""))


def _found(record: Record, found: Endpoint) -> Record:
    details = {**record.details, "container": found.container}
    return replace(record, url=found.url, grpc=found.grpc, details=details)
