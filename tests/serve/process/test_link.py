"""The link, both ends of it real: a socketpair."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import orjson
import pytest
from gantline.serve.process.link import MAX_FRAME, MAX_UNSENT, Link, error_fields, error_of

from gantline.errors import Denied, GantlineError, NotFound, Overloaded, Unavailable


def between(talk: Callable[[Link, Link], Awaitable[None]]) -> None:
    async def both() -> None:
        here, there = [await Link.open(end) for end in socket.socketpair()]
        try:
            await talk(here, there)
        finally:
            await here.close()
            await there.close()

    asyncio.run(asyncio.wait_for(both(), 20))


def test_messages_in_order_up_to_the_end() -> None:
    async def talk(here: Link, there: Link) -> None:
        for i in range(1000):
            here.send("count", i=i, text="\u00e4\n" * i)
        closing = asyncio.ensure_future(here.close())
        for i in range(1000):
            assert await there.receive() == {"kind": "count", "i": i, "text": "\u00e4\n" * i}
        await closing
        assert await there.receive() is None
        there.send("to nobody")

    between(talk)


def test_what_is_too_large_is_not_sent() -> None:
    async def talk(here: Link, there: Link) -> None:
        with pytest.raises(Unavailable, match=r"message 'x' .* 67108864 are most"):
            here.send("x", text="a" * MAX_FRAME)
        with pytest.raises(GantlineError, match=r"message 'x' .* is not JSON"):
            here.send("x", what=object())
        here.send("y")
        assert await there.receive() == {"kind": "y"}

    between(talk)


def test_an_end_that_does_not_read_is_told_of() -> None:
    async def talk(here: Link, there: Link) -> None:
        text = "a" * (MAX_FRAME // 2)
        with pytest.raises(Unavailable, match="does not read"):
            for _ in range(MAX_UNSENT // len(text) + 2):
                here.send("x", text=text)

    between(talk)


@pytest.mark.parametrize("raw", [b"\xff\xff\xff\xff", b"\0\0\0\2[]", b"\0\0\0\1{", b"\0\0"])
def test_what_is_no_message_ends_the_link(raw: bytes) -> None:
    async def talk() -> None:
        ours, theirs = socket.socketpair()
        link = await Link.open(ours)
        theirs.sendall(raw)
        theirs.close()
        assert await link.receive() is None
        await link.close()

    asyncio.run(asyncio.wait_for(talk(), 20))


def test_errors_keep_their_leaf_and_words() -> None:
    error = error_of(error_fields(NotFound("no such model")))
    assert type(error) is NotFound and error.message == "no such model"
    full = error_of(error_fields(Overloaded("full", "share", 2.5)))
    assert type(full) is Overloaded and (full.reason, full.retry_after_s) == ("share", 2.5)
    endless = error_of(orjson.loads(orjson.dumps(error_fields(Overloaded("full", retry_after_s=float("inf"))))))
    assert type(endless) is Overloaded and endless.retry_after_s == 1.0
    denied = error_of(error_fields(Denied("not this", known=True)))
    assert type(denied) is Denied and denied.known
    surprise = error_of(error_fields(KeyError("secret")))
    assert type(surprise) is GantlineError and "secret" not in surprise.message and "log" in surprise.message
    assert type(error_of({"error": "os", "message": "m"})) is GantlineError
    assert error_of({"answer": 3}) is None
