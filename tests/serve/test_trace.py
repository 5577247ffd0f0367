"""A trace samples, gathers and hands over; a file is written whole."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gantline.serve.exchange import Head
from gantline.serve.ticket import Ticket
from gantline.serve.trace import MAX_GATHERED, Sampling, Trace, write

from gantline.request import Request

HEAD = Head(b"POST", b"/", b"", [])


class Desk:
    def __init__(self, rate: int = 1, count: int = -1, frequency: int = 0) -> None:
        self.files: list[list[dict[str, Any]]] = []
        numbers = iter(range(1, 1_000_000))
        self.trace = Trace(Sampling(rate, count, frequency), numbers.__next__, self.files.append)

    def run(self, *ids: str | None) -> None:
        """One batch of requests that arrived at 100 and were queued at 110."""
        batch = []
        for id in ids:
            request = Request({"x": np.zeros(1)}, "m", "7", id, arrived=100, queued=110)
            batch.append(Ticket(request, 1, "k", ("y",), HEAD, None, lambda *_: None, None))  # type: ignore[arg-type]
        self.trace.batch(batch, 120, (3, 4, 5))

    @property
    def ids(self) -> list[list[str]]:
        return [[e["request_id"] for e in file if "request_id" in e] for file in self.files]


def test_entries_are_as_triton_writes_them() -> None:
    desk = Desk()
    desk.run("a", None)
    assert not desk.files
    desk.trace.flush()
    ((head, times, other, _),) = desk.files
    assert head == {"id": 1, "model_name": "m", "model_version": 7, "request_id": "a"}
    assert other == {"id": 2, "model_name": "m", "model_version": 7}
    marks = {t["name"]: t["ns"] for t in times["timestamps"]}
    assert times["id"] == 1 and marks.pop("REQUEST_END") > 132
    assert marks == {
        "REQUEST_START": 100, "QUEUE_START": 110, "COMPUTE_START": 120, "COMPUTE_INPUT_END": 123,
        "COMPUTE_OUTPUT_START": 127, "COMPUTE_END": 132,
    }  # fmt: skip
    desk.trace.flush()
    assert len(desk.files) == 1, "nothing new"


def test_sampling() -> None:
    desk = Desk(rate=3, count=2, frequency=2)
    desk.run("a", "b", "c", "d")
    assert (desk.files, desk.trace.left) == ([], 1)
    desk.run("e", "f", "g", "h", "i")
    assert (desk.ids, desk.trace.left) == ([["c", "f"]], 0)
    desk.run(*"jklmno")
    desk.trace.flush()
    assert desk.ids == [["c", "f"]], "the count is used up"


def test_files_by_number_and_when_the_count_is_reached() -> None:
    desk = Desk(count=5, frequency=2)
    desk.run(*"abcdef")
    assert desk.ids == [["a", "b"], ["c", "d"], ["e"]]


def test_what_is_gathered_is_bounded() -> None:
    desk = Desk()
    for _ in range(MAX_GATHERED // 100):
        desk.run(*["a"] * 100)
    assert [len(f) for f in desk.files] == [2 * MAX_GATHERED]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "trace.json"
    write(path, [{"id": 1}])
    assert json.loads(path.read_text()) == [{"id": 1}]
    blocked = tmp_path / "folder"
    (blocked / "x").mkdir(parents=True)
    with caplog.at_level(logging.ERROR, "gantline.trace"):
        write(blocked, [{"id": 1}])
    assert "folder cannot be written" in caplog.text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "trace.json"]
