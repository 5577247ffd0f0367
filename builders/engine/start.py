"""Start: an image as an endpoint, in a place that runs containers or processes; and its changes and its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from gantline.errors import GantlineError, UsageError

from .key_folder import KeyFolder
from .place import Change, Place, place_of
from .record import Record, Records, check_name
from .subject import Subject
from .wish import Wish

Log = Callable[[str], None]


class Starting(Place, Protocol):
    """A place where an image can be started."""

    def planned(self, what: Subject, wish: Wish) -> tuple[Record, Wish]:
        """The record of what is to be, with the ports that it gets. UsageError for what cannot be had there."""
        ...

    def launch(self, record: Record, what: Subject, wish: Wish, wait_s: float, say: Log) -> Record:
        """Start it and wait until it is ready; the record as it is then. Unavailable, DeadlineExceeded."""
        ...


def start(
    place: Starting, what: Subject, wish: Wish, wait_s: float, say: Log, keys: Callable[[KeyFolder], str] | None = None
) -> Record:
    """Start it, and wait until it is ready; what does not become ready leaves nothing.

    `keys` fills the folder of its keys, and says whose they are (`Record.keys`). One name is started by one command at
    a time. It is on record before it runs: whatever is interrupted can be ended by its name.
    """
    records = Records.of_user()
    with records.claim(check_name(wish.name)):
        _make_way(records, wish.name, say)
        whose = ""
        try:
            if keys is not None:
                folder = KeyFolder(records.made(wish.name))
                whose = keys(folder)
                wish = replace(wish, keys=str(folder.mounted))
            record, wish = place.planned(what, wish)
            record = replace(record, keys=whose)
            records.put(record)
        except BaseException:
            records.remove(wish.name)
            raise
        try:
            record = place.launch(record, what, wish, wait_s, say)
            records.put(record)
        except BaseException as e:
            _undo(place, records, record, e)
            raise
        return record


def _make_way(records: Records, name: str, say: Log) -> None:
    """What has ended gives its name away. UsageError for what has not."""
    there = records.find(name)
    if there is None:
        records.remove(name)  # what a start that was killed has left without a record
        return
    place = place_of(there)
    try:
        status = place.status(there)
        if status.state not in ("gone", "exited") or (status.state == "exited" and there.place != "process"):
            raise UsageError(
                f"--name {name}: there is an endpoint of that name ({there.place}, {status.state}); "
                f"`gantline endpoint delete {name}`, or choose another --name"
            )
        say(f"endpoint {name} had ended ({status.why}); this one takes its name")
        place.delete(there)
    finally:
        place.close()
    records.remove(name)


def _undo(place: Place, records: Records, record: Record, error: BaseException) -> None:
    try:
        place.delete(record)
    except GantlineError as e:
        if isinstance(error, GantlineError):
            error.message += f"; and it could not be taken away ({e.message}): `gantline endpoint delete {record.name}`"
            error.args = (error.message,)
        return
    records.remove(record.name)


def update(name: str, change: Change) -> Record:
    """Put another in an endpoint's place, where it runs. After an error the one from before serves still."""
    records = Records.of_user()
    with records.claim(name):
        place = place_of(record := records.get(name))
        try:
            after = place.update(record, change)
        finally:
            place.close()
        records.put(after)
    return after


def delete(record: Record) -> None:
    """End it where it runs, and forget it only then; what is on record of another of that name stays."""
    records = Records.of_user()
    with records.claim(record.name):
        known = records.find(record.name)
        place = place_of(record)
        try:
            place.delete(record)
        finally:
            place.close()
        if known is None or known.same(record):
            records.remove(record.name)
