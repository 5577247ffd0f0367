"""Patience: waits double, are bounded, heed what the registry asks for, and end."""

from __future__ import annotations

import math

import pytest

from gantline.oci.patience import Patience, retry_after


def test_waits_double_and_end() -> None:
    patience = Patience(tries=6, first_s=0.5, longest_s=3)
    assert [patience.wait(n, None, 1.0) for n in range(1, 8)] == [0.5, 1.0, 2.0, 3.0, 3.0, None, None]
    assert [patience.wait(n, None, 0.0) for n in (1, 2)] == [0.25, 0.5]


def test_what_is_asked_for_is_waited_for_within_reason() -> None:
    patience = Patience(most_s=60, first_s=0.5)
    assert patience.wait(1, 7.0, 0.0) == 7.0 and patience.wait(1, 7.0, 0.5) == 7.25
    assert patience.wait(1, 61.0, 0.0) is None and patience.wait(99, 0.0, 0.0) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None), ("0", 0.0), ("120", 120.0), ("-5", 0.0), ("soon", None), ("", None),
        ("9" * 400, math.inf), ("9" * 5000, math.inf), ("Thu, 01 Jan 1970 00:17:00 -0000", 20.0),
        ("Thu, 01 Jan 1970 00:17:00 GMT", 20.0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
    ],
)  # fmt: skip
def test_the_header_is_a_number_or_a_date(text: str | None, seconds: float | None) -> None:
    assert retry_after(text, now=1000.0) == seconds
