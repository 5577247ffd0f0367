"""ComposePlace: what a compose file describes, acted on by an engine's compose."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from gantline.builders.engine.awaiting import place_in, ready, url
from gantline.builders.engine.place import Status
from gantline.builders.engine.record import Record

from gantline.errors import GantlineError

from .program import Program, compose
from .written_place import WrittenPlace

KIND = "compose"


class ComposePlace(WrittenPlace):
    """`where`: the file."""

    def __init__(self, where: str) -> None:
        self.file = where

    def _compose(self, record: Record) -> Program:
        return compose(self.file, record.name, record.details.get("secrets") or ())

    def status(self, record: Record) -> Status:
        if not Path(self.file).is_file():
            return Status("gone", why=f"{self.file}: no such file")
        try:
            there = self._compose(record).ask("ps", "-q").split()
        except GantlineError as e:
            return Status("unreachable", why=e.message)
        port = int(record.details["port"])
        if not there:
            return Status("gone", why=f"not started, or stopped: `{self._applying(record)}`")
        at = url("127.0.0.1", port)
        return Status("running" if ready(at) else "starting", at, place_in(url("127.0.0.1", port + 1)))

    def logs(self, record: Record, tail: int | None, follow: bool) -> Iterator[bytes]:
        words = [*(["--tail", str(tail)] if tail is not None else []), *(["--follow"] if follow else [])]
        return self._compose(record).lines("logs", *words, str(record.details["service"]))

    def _applying(self, record: Record) -> str:
        return f"docker compose --project-name {record.name} -f {shlex.quote(self.file)} up --wait --remove-orphans"

    def _rotating(self, record: Record) -> str:
        return f"in a file that is read again when it changes: `gantline keys rotate --keys {record.keys}`"

    def delete(self, record: Record) -> None:
        if Path(self.file).is_file():
            self._compose(record).end("down")
