"""Clients that leave while a script works for them, by HTTP/2 and by TLS: the script stops and answers the next one."""

from __future__ import annotations

import json
import socket
import ssl
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hyperframe.frame import RstStreamFrame

import gantline
from tests.serve.test_attendance import FACES, INFER, RUN, begun, host

if TYPE_CHECKING:
    from tests.serve.conftest import Running
    from tests.serve.fronts.conftest import Frames

CANCEL = 8  # of HTTP/2's error codes
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends RST


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("departures")
    for name, text in (("infer", INFER), ("run", RUN)):
        (folder / f"{name}.py").write_text(text)
        gantline.package(script=folder / f"{name}.py", name=name, output=folder / f"{name}.pkg")
    return [folder / "infer.pkg", folder / "run.pkg"]


@pytest.fixture(scope="module")
def clear(servers: Callable[..., Running], packages: list[Path]) -> Running:
    return servers(*packages, default="run", script_grace_s=60, front="h2")


@pytest.fixture(scope="module")
def secret(servers: Callable[..., Running], packages: list[Path], certificate: tuple[Path, Path]) -> Running:
    pem, key = certificate
    return servers(*packages, default="run", script_grace_s=60, front="h2", tls_certificate=pem, tls_key=key)


@pytest.fixture(scope="module")
def plain_front(servers: Callable[..., Running], packages: list[Path], certificate: tuple[Path, Path]) -> Running:
    pem, key = certificate
    return servers(*packages, default="run", script_grace_s=60, tls_certificate=pem, tls_key=key)


def by_tls(server: Running, *protocols: str) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context.wrap_socket(server.connect(), server_hostname="localhost")


def encoded(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def frames_of(server: Running, speak: Callable[..., Frames], tls: bool) -> Frames:
    if not tls:
        return speak(server)
    s = by_tls(server, "h2")
    assert s.selected_alpn_protocol() == "h2"
    return speak(server, socket=s)


def ask(one: Frames, stream: int, path: str, body: Any) -> None:
    one.send(one.head(stream, path, ("content-type", "application/json")), one.data(stream, encoded(body), end=True))


@FACES
@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
@pytest.mark.parametrize("how", ["stream", "close", "reset"])
def test_who_leaves_http2_frees_the_script(
    clear: Running, secret: Running, speak: Callable[..., Frames], how: str, tls: bool,
    model: str, path: str, wait: Any, good: Any,
) -> None:  # fmt: skip
    server = secret if tls else clear
    mark = begun(server, model)
    mark.unlink(missing_ok=True)
    one = frames_of(server, speak, tls)
    ask(one, 1, path, wait)
    server.until(mark.exists)
    if how == "stream":
        one.send(RstStreamFrame(1, CANCEL))
        ask(one, 3, path, good)  # the connection goes on
        assert one.reply(3).status == 200
    elif how == "reset":
        one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    one.close()
    other = frames_of(server, speak, tls)
    ask(other, 1, path, good)
    assert other.reply(1).status == 200
    other.close()
    assert host(server, model).restarts == 0


@FACES
@pytest.mark.parametrize("how", ["close", "notify", "reset"])
def test_who_leaves_tls_frees_the_script(
    plain_front: Running, how: str, model: str, path: str, wait: Any, good: Any
) -> None:
    """A half-closed connection is none that waits: TLS cannot go on in one direction here."""
    server = plain_front
    mark = begun(server, model)
    mark.unlink(missing_ok=True)
    with by_tls(server) as s:
        s.sendall(server.post(path, wait))
        server.until(mark.exists)
        if how == "reset":
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        elif how == "notify":
            s.unwrap().close()
    with by_tls(server) as s:
        s.sendall(server.post(path, good))
        assert server.read_answer(s).status == 200
    assert host(server, model).restarts == 0
