"""Moments as the log has them and as people say them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gantline.errors import UsageError
from gantline.registry.moment import read_moment, read_span, shown

NOW = 1_795_867_200_123_456  # 2026-11-28T12:00:00.123456Z


@given(st.integers(0, 4_000_000_000_000_000))
def test_what_is_shown_can_be_typed_back(value: int) -> None:
    assert read_moment(shown(value), 5_000_000_000_000_000) == value


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-11-28T12:00:00Z", "2026-11-28T12:00:00.000000Z"),
        ("2026-11-28 12:00", "2026-11-28T12:00:00.000000Z"),
        ("2026-11-28T13:00:00+01:00", "2026-11-28T12:00:00.000000Z"),
        ("2026-11-28", "2026-11-28T00:00:00.000000Z"),
        ("2 hours ago", "2026-11-28T10:00:00.123456Z"),
        ("1 day ago", "2026-11-27T12:00:00.123456Z"),
        ("90 SECONDS ago", "2026-11-28T11:58:30.123456Z"),
    ],
)
def test_what_people_say(text: str, meant: str) -> None:
    assert shown(read_moment(text, NOW)) == meant


@pytest.mark.parametrize("text", ["", "yesterday", "2 hours", "12:00", "2026-13-01", "ago", "2 fortnights ago"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(UsageError, match="expected ISO 8601"):
        read_moment(text, NOW)


@pytest.mark.parametrize("text", ["999999 weeks ago", "1969-12-31", "0001-01-01T00:00:00+14:00"])
def test_before_there_was_anything(text: str) -> None:
    with pytest.raises(UsageError, match="before 1970"):
        read_moment(text, NOW)


def test_a_log_that_is_ahead_of_the_clock_can_be_asked_about() -> None:
    assert shown(read_moment("2026-11-28T12:00:01Z", NOW, NOW + 1_000_000)) == "2026-11-28T12:00:01.000000Z"
    with pytest.raises(UsageError, match="in the future"):
        read_moment("2026-11-28T12:00:02Z", NOW, NOW + 1_000_000)


def test_the_future() -> None:
    with pytest.raises(UsageError, match=r"in the future \(now: 2026-11-28T12:00:00.123456Z\)"):
        read_moment("2026-11-28T12:00:01Z", NOW)


def test_spans() -> None:
    assert read_span("999999 weeks") > NOW
    assert read_span("1 day") == 24 * 3600 * 1_000_000 and read_span("0 seconds") == 0
    for text in ("a day", "1", "1 day ago", "-1 days"):
        with pytest.raises(UsageError, match="no length of time"):
            read_span(text)
