"""Connections: kept and used again, by one call at a time; what is cut is told apart from what ends well."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from gantline.oci.connections import Connections, Cut, Part, Stopped, reason
from gantline.oci.wiring import Wiring


@contextmanager
def server(*answers: bytes) -> Iterator[tuple[str, list[int]]]:
    """Answers on its connections, one after another; its URL, and connections made.

    `close` closes one before the next request, `hang up` after it.
    """
    made: list[int] = []
    left = list(answers)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            with suppress(OSError):
                while left:
                    client, _ = listener.accept()
                    made.append(1)
                    with client:
                        while left and left[0] != b"close" and b"\r\n\r\n" in client.recv(1 << 16):
                            if left[0] == b"hang up":
                                break
                            client.sendall(left.pop(0))
                        if left and left[0] in (b"close", b"hang up"):
                            left.pop(0)

        thread = threading.Thread(target=run)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/x", made
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@pytest.fixture
def connections() -> Iterator[Connections]:
    made = Connections(Wiring())
    yield made
    made.stop()


def get(connections: Connections, url: str) -> bytes:
    with connections.exchange("GET", url, {}) as found:
        return found.read()


def test_a_connection_is_used_again(connections: Connections) -> None:
    with server(OK, OK, OK) as (url, made):
        assert [get(connections, url) for _ in range(3)] == [b"hello"] * 3 and made == [1]


def test_a_body_that_is_left_unread_ends_the_connection_only_if_long(connections: Connections) -> None:
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n"
    with server(OK, long, OK) as (url, made):
        for _ in range(2):
            with connections.exchange("GET", url, {}):
                pass
        assert get(connections, url) == b"hello" and made == [1, 1]


def test_a_body_that_ends_early_is_cut(connections: Connections) -> None:
    with (
        server(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello") as (url, _),
        pytest.raises(Cut, match="after 5 of 50 bytes"),
    ):
        get(connections, url)


def test_an_answer_that_never_ends() -> None:
    """A byte at a time, each long before the silence would be too long."""
    connections = Connections(Wiring(silence_s=30.0, document_s=0.2))
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            client, _ = listener.accept()
            with client, suppress(OSError):
                client.recv(1 << 16)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                while True:
                    client.sendall(b" ")
                    threading.Event().wait(0.01)

        thread = threading.Thread(target=drip)
        thread.start()
        with pytest.raises(Cut, match="too slowly to wait for") as caught:
            get(connections, f"http://127.0.0.1:{listener.getsockname()[1]}/x")
        connections.stop()
        thread.join(30)
        assert caught.value.trust and not thread.is_alive()


def test_what_is_not_http(connections: Connections) -> None:
    with server(b"SSH-2.0-x\r\n") as (url, _), pytest.raises(Cut, match="does not speak HTTP") as caught:
        get(connections, url)
    assert not caught.value.fresh


def test_a_connection_that_died_is_replaced(connections: Connections) -> None:
    with server(OK, b"close", OK) as (url, made):
        get(connections, url)
        kept = next(iter(connections._idle.values()))[0]
        assert kept.link.sock is not None and select.select([kept.link.sock], [], [], 20)[0]  # it has closed by now
        assert get(connections, url) == b"hello" and made == [1, 1]


def test_one_that_dies_while_it_is_used(connections: Connections) -> None:
    """Only noticed after sending: sent again where that does no harm, on a new connection."""
    with server(OK, b"hang up", OK, b"hang up") as (url, made):
        assert [get(connections, url), get(connections, url)] == [b"hello", b"hello"] and made == [1, 1]
        with pytest.raises(Cut, match="closed the connection"):
            connections.exchange("GET", url, {}, again=False)


def test_stop_wakes_who_waits(connections: Connections) -> None:
    with server(b"", OK) as (url, _):
        timer = threading.Timer(0.1, connections.stop)
        timer.start()
        with pytest.raises(Stopped):
            get(connections, url)
        timer.join()
        with pytest.raises(Stopped):
            get(connections, url)


def test_a_part_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(bytes(range(256)) * 4000)
    part = Part(path, 1000, 700_000)
    assert b"".join(part.pieces()) == path.read_bytes()[1000:701_000] == b"".join(part.pieces())
    with pytest.raises(Cut, match="became shorter"):
        list(Part(path, 1_000_000, 700_000).pieces())


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(-2, "x"), "its name is not known here"),
        (ConnectionRefusedError(), "nothing listens"),
        (TimeoutError(), "in time"),
        (BrokenPipeError(), "closed the connection"),
        (OSError(113, "No route to host"), "No route to host"),
        (OSError(), "OSError"),
    ],
)
def test_reasons(error: OSError, words: str) -> None:
    assert words in reason(error)
