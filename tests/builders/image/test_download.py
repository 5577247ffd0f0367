"""Files from a mirror: kept by digest, tried again where that may help, never half there."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from gantline.builders.image.download import Downloads

from gantline.blobs import sha256_bytes
from gantline.errors import BadArtefact, NotFound, Unreachable, UsageError, VerificationFailed
from tests.oci.test_docker_registry import make_certificates

DATA = b"x" * 5000
DIGEST = sha256_bytes(DATA)


class Server:
    """Answers what each path says, in order: a status, `cut` for half an answer, or 200."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: dict[str, list[int | str]] = {}
        self.asked: list[str] = []


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            said = found.answers.get(self.path, [200])
            answer = said.pop(0) if len(said) > 1 else said[0]
            self.send_response(200 if answer == "cut" else int(answer))
            self.send_header("Content-Length", str(len(DATA)))
            self.end_headers()
            self.wfile.write(DATA[: 100 if answer == "cut" else None])

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        found = Server(f"http://127.0.0.1:{http.server_address[1]}")
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield found
        http.shutdown()
        thread.join()


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def downloads(tmp_path: Path, pauses: list[float]) -> Downloads:
    return Downloads(tmp_path / "kept", pause=pauses.append)


def test_once(server: Server, downloads: Downloads) -> None:
    for _ in range(2):
        assert downloads.get((server.url + "/a",), DIGEST, len(DATA), 9999).read_bytes() == DATA
    assert server.asked == ["/a"]
    next(downloads.folder.iterdir()).write_bytes(b"y" * len(DATA))
    assert downloads.get((server.url + "/a",), DIGEST, len(DATA), 9999).read_bytes() == DATA, "damage is noticed"


def test_the_next_place_where_one_has_it_not(server: Server, downloads: Downloads) -> None:
    server.answers["/a"] = [404]
    downloads.get((server.url + "/a", server.url + "/b"), DIGEST, len(DATA), 9999)
    assert server.asked == ["/a", "/b"]
    with pytest.raises(NotFound, match="/a: is not there"):
        downloads.read((server.url + "/a",), 9999)


def test_again_after_a_pause(server: Server, downloads: Downloads, pauses: list[float]) -> None:
    server.answers["/a"] = [503, "cut", 200]
    assert downloads.read((server.url + "/a",), 9999) == DATA
    assert pauses == [0.5, 1.0] and len(server.asked) == 3


def test_not_forever(server: Server, downloads: Downloads, pauses: list[float]) -> None:
    server.answers |= {"/a": [503], "/b": [403], "/c": ["cut"]}
    for path, count in (("/a", 3), ("/b", 1), ("/c", 3)):
        server.asked.clear()
        with pytest.raises(Unreachable, match=path):
            downloads.get((server.url + path,), DIGEST, len(DATA), 9999)
        assert len(server.asked) == count
    with pytest.raises(Unreachable, match="refused"):
        downloads.read(("http://127.0.0.1:9/x",), 9)
    assert list(downloads.folder.iterdir()) == []


def test_other_bytes(server: Server, downloads: Downloads) -> None:
    with pytest.raises(VerificationFailed, match="was expected"):
        downloads.get((server.url + "/a",), "sha256:" + "0" * 64, len(DATA), 9999)
    with pytest.raises(BadArtefact, match="more than 10 bytes"):
        downloads.get((server.url + "/a",), DIGEST, 10, 9999)
    with pytest.raises(BadArtefact, match="at most 100"):
        downloads.get((server.url + "/a",), DIGEST, len(DATA), 100)
    assert list(downloads.folder.iterdir()) == []


def test_offline_and_odd_places(downloads: Downloads, tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="offline"):
        Downloads(tmp_path, offline=True).read(("http://127.0.0.1:9/x",), 9)
    with pytest.raises(UsageError, match="http"):
        downloads.read(("file:///etc/passwd",), 9999)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="GANTLINE_HOME"):
        Downloads(tmp_path / "file").get(("http://127.0.0.1:9/x",), DIGEST, 1, 9)


def test_no_way_out_of_https(
    server: Server, downloads: Downloads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_certificates(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.crt"))

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", server.url + "/a")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as http:
        http.socket = context.wrap_socket(http.socket, server_side=True)
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            with pytest.raises(Unreachable, match="leads away from HTTPS, to http://"):
                downloads.read((f"https://127.0.0.1:{http.server_address[1]}/a",), 9999)
        finally:
            http.shutdown()
            thread.join()
