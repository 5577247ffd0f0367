"""Trace: when the parts of single requests happened, gathered in memory and written as Triton writes its trace files.

A file is a JSON list: for each request an object with its id and model, and one with "timestamps", in nanoseconds of
this machine's monotonic clock.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from typing import Any, NamedTuple

from .ticket import Ticket

MAX_GATHERED = 10_000  # requests; then a file is written even if none was asked for yet
_NAMES = (
    "REQUEST_START", "QUEUE_START", "COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "COMPUTE_END",
    "REQUEST_END",
)  # fmt: skip
_log = logging.getLogger("gantline.trace")


class Sampling(NamedTuple):
    """Which requests are traced: every `rate`-th, `most` in all (-1: no end); a file for each `frequency` (0: one)."""

    rate: int
    most: int
    frequency: int


class Trace:
    """What one group of models shares: its sampling, and what it has gathered.

    `number` gives each traced request its id; `write` takes a finished list, to put it into a file elsewhere.
    """

    def __init__(
        self, sampling: Sampling, number: Callable[[], int], write: Callable[[list[dict[str, Any]]], None]
    ) -> None:
        self.left = sampling.most
        self._rate = sampling.rate
        self._most = min(sampling.frequency or MAX_GATHERED, MAX_GATHERED)
        self._number = number
        self._write = write
        self._seen = 0
        self._gathered: list[tuple[str, str, str | None, tuple[int, ...]]] = []

    def batch(self, batch: list[Ticket], started: int, times: tuple[int, int, int]) -> None:
        """A batch has been answered. It ran from `started` on, for `times`: assembling, computing and splitting.

        Called for every batch of a traced model: what is not sampled costs a counter.
        """
        given = started + times[0]
        computed = given + times[1]
        for ticket in batch:
            self._seen += 1
            if self._seen % self._rate or not self.left:
                continue
            self.left -= self.left > 0
            request = ticket.request
            marks = (
                request.arrived, request.queued, started, given, computed, computed + times[2], perf_counter_ns()
            )  # fmt: skip
            self._gathered.append((request.model, request.version, request.id, marks))
            if len(self._gathered) >= self._most or not self.left:
                self.flush()

    def flush(self) -> None:
        """Hand over what has been gathered, to be written."""
        gathered, self._gathered = self._gathered, []
        if gathered:
            self._write([entry for one in gathered for entry in _entries(self._number(), *one)])


def write(path: Path, entries: list[dict[str, Any]]) -> None:
    """Write a whole file or none; a disk that is full is for the log."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_text(json.dumps(entries, separators=(",", ":")), "utf-8")
        part.replace(path)
    except OSError as e:
        part.unlink(missing_ok=True)
        _log.error("trace file %s cannot be written: %s", path, e.strerror)


def _entries(number: int, model: str, version: str, id: str | None, marks: tuple[int, ...]) -> list[dict[str, Any]]:
    head: dict[str, Any] = {"id": number, "model_name": model, "model_version": int(version)}
    if id:
        head["request_id"] = id
    return [head, {"id": number, "timestamps": [{"name": n, "ns": t} for n, t in zip(_NAMES, marks, strict=True)]}]
