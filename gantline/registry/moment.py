"""Moments: microseconds since 1970 in UTC, as the log keeps them, and how people say them."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

from ..errors import UsageError

_AGO = re.compile(r"(\d{1,6})\s*(second|minute|hour|day|week)s?(\s+ago)?", re.IGNORECASE)
_EXPECTED = 'expected ISO 8601, such as 2026-11-28T12:00:00Z, or "2 hours ago"'
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now() -> int:
    """Microseconds of UTC."""
    return time.time_ns() // 1000


def micros(moment: datetime) -> int:
    """Exact, as floats would not be."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment_of(value: int) -> datetime:
    """The moment that the log has."""
    return _EPOCH + timedelta(microseconds=value)


def shown(value: int) -> str:
    """ISO 8601 to the microsecond, so that what is shown can be typed back."""
    return moment_of(value).isoformat(timespec="microseconds").replace("+00:00", "Z")


def read_moment(text: str, now: int, latest: int = 0) -> int:
    """What a person means; without a zone it is UTC, as everything shown is. UsageError for what is still to come.

    `latest`: the last moment of a log, which is later than now where a clock was ahead once.
    """
    ago = _AGO.fullmatch(text.strip())
    if ago and ago[3]:
        value = now - _span(ago)
    else:
        try:
            found = datetime.fromisoformat(text.strip())
        except ValueError as e:
            raise UsageError(f"time {text!r:.60}: {_EXPECTED}") from e
        value = micros(found if found.tzinfo else found.replace(tzinfo=UTC))
    if value < 0:
        raise UsageError(f"time {text!r:.60}: is before 1970, when there was no registry; {_EXPECTED}")
    if value > max(now, latest):
        raise UsageError(f"time {text!r:.60}: is in the future (now: {shown(now)}); times without a zone are UTC")
    return value


def read_span(text: str) -> int:
    """A length of time, such as "1 day", in microseconds."""
    found = _AGO.fullmatch(text.strip())
    if not found or found[3]:
        raise UsageError(
            f"{text!r:.60} is no length of time; expected a number of seconds, minutes, hours, days or weeks"
        )
    return _span(found)


def _span(match: re.Match[str]) -> int:
    return timedelta(**{match[2].lower() + "s": int(match[1])}) // timedelta(microseconds=1)
