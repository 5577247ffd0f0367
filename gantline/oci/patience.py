"""Patience: whether and when to ask a registry once more. Pure: failures in, seconds out."""

from __future__ import annotations

import email.utils
import re
from dataclasses import dataclass
from datetime import UTC

PASSING = (408, 425, 429, 500, 502, 503, 504)  # statuses that may be otherwise in a moment


@dataclass(frozen=True, slots=True)
class Patience:
    """`tries` in all without any progress; waits double from `first_s` to `longest_s`.

    `most_s`: who asks for more patience than that is not waited for.
    """

    tries: int = 6
    first_s: float = 0.5
    longest_s: float = 15.0
    most_s: float = 120.0

    def wait(self, failures: int, asked_s: float | None, chance: float) -> float | None:
        """Seconds to wait after so many failures in a row; None: give up.

        `asked_s` is what Retry-After says, `chance` in [0, 1) spreads those who failed together.
        """
        if failures >= self.tries or (asked_s is not None and asked_s > self.most_s):
            return None
        if asked_s is not None:
            return asked_s + chance * self.first_s
        longest = min(self.longest_s, self.first_s * 2.0 ** (failures - 1))
        return longest * (0.5 + chance / 2)


def retry_after(text: str | None, now: float) -> float | None:
    """A Retry-After header in seconds from `now` (a Unix time): it is a number, or a date. None where it is neither."""
    if text is None:
        return None
    if re.fullmatch("-?[0-9]+", text.strip()):
        return max(0.0, float(text))  # infinite, if it has hundreds of digits
    try:
        when = email.utils.parsedate_to_datetime(text)
        return max(0.0, (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - now)
    except (ValueError, OverflowError):
        return None
