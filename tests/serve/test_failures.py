"""What models fail with, in the log: every line while they are few, and in a flood how many were left out."""

from __future__ import annotations

import logging

import pytest
from gantline.serve.failures import LINES, PERIOD_S, Failures


def test_a_flood_leaves_some_lines_and_a_count(caplog: pytest.LogCaptureFixture) -> None:
    failures = Failures(logging.getLogger("gantline.serve"))
    for i in range(LINES + 100):
        failures.note(f"failure {i}", 50 + i * PERIOD_S / 1000)
    assert [r.getMessage() for r in caplog.records] == [f"failure {i}" for i in range(LINES)]
    failures.note("one more", 50 + PERIOD_S)
    failures.note("and another", 51 + PERIOD_S)
    assert [r.getMessage() for r in caplog.records][LINES:] == [
        "one more (and 100 other failures since the last line)",
        "and another",
    ]


def test_what_comes_now_and_then_is_told_in_full(caplog: pytest.LogCaptureFixture) -> None:
    failures = Failures(logging.getLogger("gantline.serve"))
    for i in range(10 * LINES):
        failures.note(f"failure {i}", i * PERIOD_S / LINES)
    assert [r.getMessage() for r in caplog.records] == [f"failure {i}" for i in range(10 * LINES)]
