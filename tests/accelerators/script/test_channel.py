"""Two ends of a channel in one process."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator

import pytest
from gantline.accelerators.script import channel as ch
from gantline.accelerators.script.channel import Channel, Gone, join_mapping, open_mapping

from .conftest import open_files


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    file, mapping = open_mapping()
    pair = Channel(ours, mapping, parent=True), Channel(theirs, join_mapping(file), parent=False)
    os.close(file)
    yield pair
    for one in pair:
        one.close()


def rang(channel: Channel) -> bool:
    return bool(select.select([channel.sock], [], [], 0)[0])


def test_both_ways(ends: tuple[Channel, Channel]) -> None:
    parent, child = ends
    assert parent.send(ch.SCORE, 7, status=2, meta=b"m", body=b"body")
    message = child.take()
    assert message is not None and (message.kind, message.id, message.status, message.meta) == (ch.SCORE, 7, 2, b"m")
    assert child.send(ch.REPLY, 7, ch.RAN, 200, 123, b"h", b"answer")
    reply = parent.take()
    assert reply is not None and (reply.flags, reply.aux, reply.body) == (ch.RAN, 123, b"answer")
    assert parent.take() is None and child.take() is None


def test_only_a_sleeper_is_woken_and_once(ends: tuple[Channel, Channel]) -> None:
    parent, child = ends
    parent.send(ch.SCORE, 1)
    parent.wake()
    assert not rang(child)  # it has not said that it sleeps
    assert not child.may_sleep()  # there is a message
    child.take()
    assert child.may_sleep()
    for i in range(3):
        parent.send(ch.SCORE, i)
        parent.wake()
    assert rang(child)
    child.read_records()
    assert not rang(child)


@pytest.mark.parametrize("size", [ch.INLINE, ch.INLINE + 1, 5 << 20])
def test_large_bodies_travel_as_files(ends: tuple[Channel, Channel], size: int) -> None:
    parent, child = ends
    body = os.urandom(1024) * (size // 1024) + b"x" * (size % 1024)
    before = open_files()
    for sender, receiver in ((parent, child), (child, parent)):
        assert sender.send(ch.SCORE, 1, meta=b"m", body=body)
        message = receiver.take()
        assert message is not None and message.body == body and message.meta == b"m"
    assert not open_files() - before


def test_no_room_is_zero_and_room_is_announced(ends: tuple[Channel, Channel]) -> None:
    parent, child = ends
    sent = 0
    while child.send(ch.REPLY, sent, body=b"x" * 100_000):
        sent += 1
    assert sent >= 8
    for _ in range(sent):
        assert parent.take() is not None
    assert rang(child)
    child.wait_for_room()  # comes back at once: there is room
    assert child.send(ch.REPLY, 1, body=b"x" * 100_000)


def test_what_the_server_tells(ends: tuple[Channel, Channel]) -> None:
    parent, child = ends
    child.told()  # nothing: does not block
    child.credit[4] = 10
    parent.cancel(3)
    parent.allow(4, 100)
    parent.allow(5, 100)  # a stream that is over
    child.told()
    assert child.cancelled == {3} and child.credit == {4: 110}
    child.told()


def test_a_closed_end_is_gone() -> None:
    ours, theirs = socket.socketpair()
    file, mapping = open_mapping()
    os.close(file)
    parent = Channel(ours, mapping, parent=True)
    theirs.close()
    parent.send(ch.SCORE, 1)
    with pytest.raises(Gone):
        parent.read_records()
    parent.cancel(1)  # nobody hears it, and nothing is raised
    parent.close()
