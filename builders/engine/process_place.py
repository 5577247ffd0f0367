"""ProcessPlace: endpoints that run on this machine without an engine, each in a seat of its own.

A successor has the same ports (SO_REUSEPORT) and listens when it is ready; only then does the one before it stop. So
there is no moment without a server.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from gantline.errors import Unsupported, UsageError
from gantline.home import home
from gantline.oci.platforms import Platform

from .alone import command
from .awaiting import announced, place_in, ready, reason, until, url
from .key_folder import KeyFolder
from .place import Change, Status
from .record import Deployed, Record, Records, now
from .seat import Seat
from .subject import Subject
from .unpack import unpacked
from .wish import Wish, can_share, model, settled

KIND = "process"


class ProcessPlace:
    """On this machine."""

    def __init__(self, where: str = "") -> None:
        self._records = Records.of_user()

    # -- starting

    def planned(self, what: Subject, wish: Wish) -> tuple[Record, Wish]:
        """What is kept of it, before it is there."""
        if sys.platform != "linux":
            raise Unsupported(f"images are for Linux, and this is {sys.platform}: start a container engine")
        if wish.memory:
            raise Unsupported("without a container engine nothing limits memory: leave out --memory")
        wish = settled(replace(wish, offers=can_share(what.image)))
        return self._record(what, wish), wish

    def launch(self, record: Record, what: Subject, wish: Wish, wait_s: float, say: Callable[[str], None]) -> Record:
        """Start it and wait until it is ready."""
        self._begin(what, wish, self._seat(record), wait_s, say)
        return record

    def _record(self, what: Subject, wish: Wish) -> Record:
        one = Deployed("main", what.name, what.image.id, what.image.package)
        seat = f"seat-{secrets.token_hex(4)}"
        details = {"seat": seat, "wish": wish.to_json(), "manifest": what.image.descriptor.to_json()}
        grpc = place_in(url(wish.host, wish.grpc_port))
        at = url(wish.host, wish.port, wish.tls)
        return Record(wish.name, KIND, "", model(what.image), (one,), at, grpc, created=now(), details=details)

    def _seat(self, record: Record) -> Seat:
        return Seat(self._records.folder(record.name) / str(record.details.get("seat", "seat")))

    def _begin(self, what: Subject, wish: Wish, seat: Seat, wait_s: float, say: Callable[[str], None]) -> None:
        root = unpacked(what.store, what.image, home() / "rootfs", self.used)
        words, variables = command(root, what.image, wish, say)
        seat.start(words, variables, wish.again)
        until(
            lambda: announced(seat.log()) if wish.joins else ready(url(wish.host, wish.port, wish.tls)), wait_s,
            lambda: not seat.runs, seat.log, f"endpoint {wish.name}",
        )  # fmt: skip

    def used(self) -> set[str]:
        """IDs of images of which something runs, or is being started."""
        found = set()
        for record in self._records.all():
            if record.place == KIND and (self._seat(record).runs or self._records.claimed(record.name)):
                found |= {one.image_id for one in record.deployments} | {str(record.details.get("next", ""))}
        return found

    def status(self, record: Record) -> Status:
        seat = self._seat(record)
        if seat.runs:
            return Status("running" if ready(record.url) else "starting", record.url, record.grpc)
        if not seat.folder.exists():
            return Status("gone", why="its start was interrupted, or its folder removed")
        ended = seat.status
        if ended is None:
            return Status("exited", why="killed, or the machine was started anew")
        if ended < 0:  # its last words are of something else
            return Status("exited", why=f"killed by signal {-ended}", code=ended)
        return Status("exited", why=f"exit status {ended}: {reason(seat.log())}", code=ended)

    def logs(self, record: Record, tail: int | None, follow: bool) -> Iterator[bytes]:
        return self._seat(record).lines(tail, follow)

    def keys(self, record: Record) -> Path:
        return KeyFolder(self._records.folder(record.name)).mounted

    def update(self, record: Record, change: Change) -> Record:
        before = Wish.from_json(record.details["wish"])
        old = self._seat(record)
        if not old.runs:
            raise UsageError(
                f"endpoint {record.name}: does not run, so there is nothing to take over from; "
                f"`gantline endpoint delete {record.name}`, then `gantline run`"
            )
        self._end_others(record.name, old)  # left by an update that was killed
        what = change.subject(record, Platform.of_this_machine())
        wish = replace(before, variables=change.applied(before.variables), offers=can_share(what.image))
        if not (before.offers and wish.offers):
            raise Unsupported(
                f"endpoint {record.name}: one of the two images has a runtime too old to give its ports away, or to "
                f"take them; `gantline endpoint delete {record.name}`, then `gantline run`"
            )
        after = replace(self._record(what, wish), keys=record.keys, created=record.created)
        seat = self._seat(after)
        # known before it runs: whatever is interrupted is ended by `delete`
        marked = {**record.details, "beside": after.details["seat"], "next": what.image.id}
        self._records.put(replace(record, details=marked))
        try:
            change.say("starting the new one beside the old one, on the same ports")
            joining = replace(wish, joins=True, arguments=(*wish.arguments, "--json"))
            self._begin(what, joining, seat, change.wait_s, change.say)
            self._records.put(after)
        except BaseException:
            with suppress(Exception):
                seat.stop()
            seat.remove()
            self._records.put(record)
            raise
        change.say("the new one is ready and serves; stopping the old one")
        self._end_others(record.name, seat)
        return after

    def _end_others(self, name: str, but: Seat | None = None) -> None:
        for folder in sorted(self._records.folder(name).glob("seat-*")):
            if but is None or folder != but.folder:
                Seat(folder).stop()
                Seat(folder).remove()

    def delete(self, record: Record) -> None:
        self._end_others(record.name)

    def close(self) -> None:
        pass
