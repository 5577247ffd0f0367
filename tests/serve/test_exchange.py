"""A request's head, as handlers see it."""

from __future__ import annotations

from gantline.serve.exchange import Head


def test_the_first_of_several_headers() -> None:
    head = Head(b"POST", b"/a", b"q", [(b"x", b"1"), (b"y", b""), (b"x", b"2")])
    assert (head.get(b"x"), head.get(b"y"), head.get(b"z")) == (b"1", b"", None)
    assert (head.client, head.secure) == (None, False)
