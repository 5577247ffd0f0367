"""gRPC's words: messages out of pieces, timeouts, details."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import pytest
from gantline.serve.fronts.h2_messages import Messages, percent_encoded, timeout_ns
from hypothesis import given
from hypothesis import strategies as st

from gantline.errors import BadRequest, TooLarge


def wire(messages: list[tuple[bool, bytes]]) -> bytes:
    return b"".join(bytes((c,)) + len(m).to_bytes(4, "big") + m for c, m in messages)


@given(
    st.lists(st.tuples(st.booleans(), st.binary(max_size=40)), max_size=6),
    st.lists(st.integers(1, 50), min_size=1, max_size=40),
)
def test_messages_come_out_as_they_went_in_however_they_are_cut(
    messages: list[tuple[bool, bytes]], cuts: list[int]
) -> None:
    whole, found, taker = wire(messages), [], Messages(40)
    at = 0
    for cut in [*cuts, len(whole)]:
        if piece := whole[at : at + cut]:
            found += taker.feed(piece)
        at += cut
    assert found == messages and taker.held == 0


def test_a_part_is_held_and_counted() -> None:
    taker = Messages(100)
    assert taker.feed(b"\0\0") == [] and taker.held == 2
    assert taker.feed(b"\0\0\4ab") == [] and taker.held == 7
    assert taker.feed(b"cd\0\0\0\0\0\1") == [(False, b"abcd"), (False, b"")] and taker.held == 1


def test_a_message_is_refused_by_its_prefix() -> None:
    with pytest.raises(TooLarge, match="a message of 101 bytes is larger than 100 bytes"):
        Messages(100).feed(b"\0\0\0\0\x65")
    with pytest.raises(TooLarge):
        Messages(100).feed(wire([(False, b"fits")]) + b"\0\xff\xff\xff\xff")
    with pytest.raises(BadRequest, match=r"begins with 71, expected 0 or 1"):
        Messages(100).feed(b"GET / HTTP/1.1")
    assert Messages(100).feed(wire([(True, bytes(100))])) == [(True, bytes(100))]


def test_timeouts() -> None:
    for text, ns in ((b"1H", 3600 * 10**9), (b"2M", 120 * 10**9), (b"3S", 3 * 10**9), (b"100m", 10**8), (b"7u", 7000)):
        assert timeout_ns(text) == ns
    assert timeout_ns(b"99999999n") == 99999999
    for bad in (b"", b"S", b"1", b"1s", b"-1S", b"1.5S", b"123456789S", b" 1S", "1\N{DEGREE SIGN}".encode("latin-1")):
        with pytest.raises(BadRequest, match="grpc-timeout is"):
            timeout_ns(bad)


@given(st.text(max_size=100))
def test_details_are_a_header_and_come_back(details: str) -> None:
    try:
        details.encode()
    except UnicodeEncodeError:
        return
    made = percent_encoded(details)
    assert all(0x20 <= b <= 0x7E for b in made) and made == made.strip()
    assert unquote_to_bytes(made) == details.encode()


def test_long_details_are_cut() -> None:
    assert percent_encoded("x" * 5000) == b"x" * 2000 + b"..."
