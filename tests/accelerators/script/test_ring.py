"""The ring: what goes in comes out, in order, whatever its size, and nonsense is noticed."""

from __future__ import annotations

import random

import pytest
from gantline.accelerators.script.ring import HEAD, Damaged, Message, Ring
from hypothesis import given, settings
from hypothesis import strategies as st

SIZE = 512


def make(size: int = SIZE) -> tuple[Ring, memoryview, memoryview]:
    memory, words = memoryview(bytearray(size)), memoryview(bytearray(128)).cast("Q")
    return Ring(memory, words, 0), memory, words


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=60), st.binary(max_size=200)), max_size=80), st.integers(0, 2**32))
def test_everything_comes_out_once_in_order(parts: list[tuple[bytes, bytes]], seed: int) -> None:
    ring, _, _ = make()
    choose = random.Random(seed)
    waiting, out = list(enumerate(parts)), []
    while waiting or not ring.empty:
        if waiting and choose.random() < 0.6:
            i, (meta, body) = waiting[0]
            if ring.push(1, i, 2, 3, i << 40, meta, body):
                waiting.pop(0)
                continue
        message = ring.pop()
        if message is not None:
            out.append(message)
    assert out == [Message(1, i, 2, 3, i << 40, meta, body) for i, (meta, body) in enumerate(parts)]


def test_full_is_zero_and_taking_makes_room() -> None:
    ring, _, _ = make()
    count = 0
    while ring.push(1, count, 0, 0, 0, b"", b"x" * 32):
        count += 1
    assert count == SIZE // (HEAD + 32)
    assert not ring.push_fits(HEAD + 32)
    assert ring.pop() is not None
    assert ring.push(1, 9, 0, 0, 0, b"", b"x" * 32)


def test_position_says_what_was_taken() -> None:
    ring, _, _ = make()
    first, second = (ring.push(1, i, 0, 0, 0, b"", b"abc") for i in (1, 2))
    assert ring.position < first < second
    ring.pop()
    assert first <= ring.position < second


def test_counters_beyond_32_bits() -> None:
    ring, _, words = make()
    words[0] = words[8] = (1 << 40) + SIZE - 16
    for i in range(100):
        assert ring.push(1, i, 0, 0, 0, b"m", b"b" * i)
        message = ring.pop()
        assert message is not None and message.body == b"b" * i


@pytest.mark.parametrize("place", [0, 16, 24])
def test_nonsense_is_damage(place: int) -> None:
    ring, memory, words = make()
    ring.push(1, 1, 0, 0, 0, b"m", b"body")
    memory[place : place + 4] = b"\xff\xff\xff\x7f"
    if place == 16:  # aux may be anything
        assert ring.pop() is not None
        words[8] = words[0] + SIZE + 8
    with pytest.raises(Damaged):
        ring.pop()
