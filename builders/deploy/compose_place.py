"""ComposePlace: what a compose file describes, acted on by an engine's compose."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gantline.builders.engine.awaiting import place_in, ready, url
from gantline.builders.engine.place import Change, Status
from gantline.builders.engine.record import Record

from gantline.errors import GantlineError, Unsupported

from .program import Program, compose

KIND = "compose"


class ComposePlace:
    """`where`: the file."""

    def __init__(self, where: str) -> None:
        self.file = where

    def _compose(self, record: Record) -> Program:
        return compose(self.file, record.details.get("secrets") or ())

    def status(self, record: Record) -> Status:
        if not Path(self.file).is_file():
            return Status("gone", why=f"{self.file}: no such file")
        try:
            there = self._compose(record).ask("ps", "-q").split()
        except GantlineError as e:
            return Status("unreachable", why=e.message)
        port = int(record.details["port"])
        if not there:
            return Status("gone", why=f"not started, or stopped: `docker compose -f {self.file} up --wait`")
        at = url("127.0.0.1", port)
        return Status("running" if ready(at) else "starting", at, place_in(url("127.0.0.1", port + 1)))

    def logs(self, record: Record, tail: int | None, follow: bool) -> Iterator[bytes]:
        words = [*(["--tail", str(tail)] if tail is not None else []), *(["--follow"] if follow else [])]
        return self._compose(record).lines("logs", *words, str(record.details["service"]))

    def update(self, record: Record, change: Change) -> Record:
        raise Unsupported(
            f"endpoint {record.name}: {self.file} says what runs: `gantline deploy {change.ref or 'REF'} --to compose "
            f"--overwrite -o {self.file}`, then `docker compose -f {self.file} up --wait`"
        )

    def keys(self, record: Record) -> Path:
        if not record.keys:
            raise Unsupported(f"endpoint {record.name}: asks nobody for keys; deploy it with --keys-secret")
        raise Unsupported(
            f"endpoint {record.name}: its keys are in a file that is read again when it changes: "
            f"`gantline keys rotate --keys {record.keys}`"
        )

    def delete(self, record: Record) -> None:
        if Path(self.file).is_file():
            self._compose(record).end("down")

    def close(self) -> None:
        pass
