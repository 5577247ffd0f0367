"""Sums that do not go back when a worker dies."""

from __future__ import annotations

from gantline.serve.telemetry.legacy import Legacy
from gantline.serve.telemetry.snapshot import Snapshot, add, merge


def worker(rows: int) -> Snapshot:
    out: Snapshot = {}
    add(out, "gantline_rows", rows, "m", "1")
    add(out, "gantline_workers", 1)
    add(out, "gantline_request_seconds", {"counts": [rows], "sum": rows}, "m", "1")
    return out


def told(legacy: Legacy, **workers: int) -> Snapshot:
    """What a scrape says, the workers being `w1=rows`."""
    answers = {int(name[1:]): worker(rows) for name, rows in workers.items()}
    for number, answer in answers.items():
        legacy.saw(number, answer)
    return merge([*answers.values(), legacy.answer(answers)])


def rows(snapshot: Snapshot) -> int:
    return int(snapshot["gantline_rows"][0][1])


def test_what_was_told_stays_told() -> None:
    legacy = Legacy()
    assert rows(told(legacy, w1=5, w2=7)) == 12
    assert rows(told(legacy, w2=7)) == 12  # the other is dying, or too slow to answer
    legacy.ended(1)
    assert rows(told(legacy, w2=8)) == 13
    found = told(legacy, w1=2, w2=8)
    assert rows(found) == 15
    assert found["gantline_request_seconds"] == [[["m", "1"], {"counts": [15], "sum": 15}]]
    legacy.ended(1)
    legacy.ended(2)
    assert rows(told(legacy, w1=0)) == 15


def test_what_is_not_a_sum_is_not_kept() -> None:
    legacy = Legacy()
    told(legacy, w1=5, w2=7)
    legacy.ended(2)
    found = told(legacy, w1=6)
    assert found["gantline_workers"] == [[[], 1]] and found["gantline_worker_restarts"] == [[[], 1]]


def test_a_worker_that_nobody_asked_leaves_nothing() -> None:
    legacy = Legacy()
    legacy.ended(1)
    legacy.ended(1)
    assert legacy.answer({}) == {"gantline_worker_restarts": [[[], 2]]}
