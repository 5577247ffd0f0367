"""One port for HTTP/1 and HTTP/2: who is handed to which protocol, in the clear and by TLS."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from gantline.serve.fronts.h2_connection import Http2
from gantline.serve.fronts.http1 import Http1

if TYPE_CHECKING:
    from tests.serve.conftest import Running
    from tests.serve.fronts.conftest import Frames

PATH = "/v2/models/double/infer"
BODY = {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}
DOUBLED = [2, 4, 6]


def test_http1_and_http2_side_by_side(h2: Running, frames: Frames) -> None:
    body = json.dumps(BODY).encode()
    frames.send(frames.head(1, PATH), frames.data(1, body, True))
    with h2.connect() as s:
        s.sendall(h2.post(PATH, BODY) + h2.get("/v2"))
        kinds = {Http1, Http2}
        h2.until(lambda: kinds <= {type(c) for c in h2.connections})
        s.shutdown(1)
        first, second = h2.answers(h2.read_all(s))
    assert first.json()["outputs"][0]["data"] == DOUBLED and second.json()["name"] == "gantline"
    assert json.loads(frames.reply(1).body)["outputs"][0]["data"] == DOUBLED


def test_http1_is_answered_as_by_the_http1_front(h2: Running, server: Running) -> None:
    """The very bytes, for everything that is sent to that front byte by byte elsewhere."""
    pieces = [h2.post(PATH, BODY), h2.get("/v2"), h2.post(PATH, BODY, version="1.0"), b"nonsense\r\n\r\n", b"P", b"PRI"]
    pieces += [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", b"PRI * HTTP/2.0\r\n\r\n", b"PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n", b""]
    pieces += [h2.get("/v2", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk", "Connection: Upgrade, HTTP2-Settings")]
    pieces += [h2.post("/v2/models/none/infer", BODY), h2.get("/v2/models/double", method="HEAD"), b"\0" * 30]

    def dateless(raw: bytes) -> list[bytes]:
        return [line for line in raw.split(b"\r\n") if not line.lower().startswith(b"date:")]

    for piece in pieces:
        assert dateless(h2.talk(piece)) == dateless(server.talk(piece)), piece
        halves = (piece[:2], piece[2:]) if len(piece) > 2 else (piece,)
        assert dateless(h2.talk(*halves)) == dateless(server.talk(*halves)), halves


def test_a_preface_in_pieces(h2: Running) -> None:
    with h2.connect() as s:
        for at in range(24):
            s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[at : at + 1])
        s.sendall(b"\0\0\0\4\0\0\0\0\0")
        assert s.recv(9)[3] == 4  # SETTINGS


def test_a_connection_that_says_part_of_a_preface_is_given_the_time_of_a_head(servers: Callable[..., Running]) -> None:
    server = servers(front="h2", header_timeout_s="0.5")
    (answer,) = server.ask(b"PRI * HT", half_close=False)
    assert answer.status == 408 and "head did not arrive" in answer.json()["error"]
    (answer,) = server.ask(b"P", half_close=False)
    assert answer.status == 408


def test_tls_agrees_on_the_protocol(
    servers: Callable[..., Running], speak: Callable[..., Frames], certificate: tuple[Path, Path]
) -> None:
    server = servers(front="h2", tls_certificate=certificate[0], tls_key=certificate[1])
    for offered, chosen in ((["h2", "http/1.1"], "h2"), (["h2"], "h2"), (["http/1.1"], "http/1.1"), ([], None)):
        context = ssl.create_default_context(cafile=str(certificate[0]))
        if offered:
            context.set_alpn_protocols(offered)
        with context.wrap_socket(server.connect(), server_hostname="localhost") as s:
            assert s.selected_alpn_protocol() == chosen
            if chosen == "h2":
                frames = speak(server, socket=s)
                frames.send(frames.head(1, PATH), frames.data(1, json.dumps(BODY).encode(), True))
                assert json.loads(frames.reply(1).body)["outputs"][0]["data"] == DOUBLED
            else:
                s.sendall(server.post(PATH, BODY))
                assert server.read_answer(s).json()["outputs"][0]["data"] == DOUBLED


@pytest.mark.parametrize("options", [["--http2-prior-knowledge"], ["--http1.1"], ["--http2"]])
def test_curl(h2: Running, options: list[str]) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    command = ["curl", "-sS", *options, "-w", " %{http_version}", "-d", json.dumps(BODY), h2.url + PATH]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    answer, _, version = done.stdout.rpartition(" ")
    assert json.loads(answer)["outputs"][0]["data"] == DOUBLED
    assert version == ("2" if "prior" in options[0] else "1.1")


def test_one_connection_too_many(servers: Callable[..., Running], speak: Callable[..., Frames]) -> None:
    server = servers(front="h2", max_connections=1)
    first = speak(server)
    first.ping()
    assert server.ask(b"", half_close=False)[0].status == 503
    first.ping()
    first.close()
    server.until(lambda: not server.connections)
    speak(server).ping()
