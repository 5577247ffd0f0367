"""Transport: who we are is shown to the registry alone; redirects, tokens that end, TLS, proxies, and trouble."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from gantline.errors import BadArtefact, Denied, GantlineError, Overloaded, Unavailable, Unreachable
from gantline.oci.connections import Bytes, Response, Stopped
from gantline.oci.credentials import Credentials
from gantline.oci.patience import Patience
from gantline.oci.transport import Transport
from gantline.oci.wiring import Wiring
from tests.oci.faulty_registry import Answer, Registry

QUICK = Patience(tries=4, first_s=0.01, longest_s=0.02, most_s=5)
SCOPES = ("repository:iris:pull",)


def credentials(folder: Path, registry: Registry, password: str = "s3cret") -> Credentials:
    folder.mkdir(exist_ok=True)
    auths = {registry.host: {"auth": base64.b64encode(f"ann:{password}".encode()).decode()}}
    (folder / "config.json").write_text(json.dumps({"auths": auths}))
    return Credentials({"DOCKER_CONFIG": str(folder), "HOME": str(folder)})


NOBODY = Credentials({"HOME": "/none"})


@contextmanager
def transport_to(registry: Registry, found: Credentials = NOBODY, wiring: Wiring | None = None) -> Iterator[Transport]:
    with Transport(registry.host, registry.host, wiring, found, QUICK) as transport:
        yield transport


def get(transport: Transport, path: str = "/v2/iris/manifests/1", method: str = "GET") -> Response:
    with transport.call(method, transport.base + path, SCOPES) as found:
        found.read()
        return found


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry(manifests={("iris", "1"): ("text/plain", b"{}")}).serving() as running:
        yield running


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
def test_a_user_is_shown_after_the_first_refusal(registry: Registry, tmp_path: Path, scheme: str) -> None:
    registry.scheme = scheme
    with transport_to(registry, credentials(tmp_path / "d", registry)) as transport:
        assert [get(transport).status for _ in range(3)] == [200] * 3
    shown = [s.headers.get("Authorization", "")[:6].strip() for s in registry.seen if "/manifests/" in s.path]
    assert shown == ["", *[scheme.title()] * 3]


def test_a_token_that_ends_early_is_renewed(registry: Registry, tmp_path: Path) -> None:
    registry.scheme = "bearer"
    with transport_to(registry, credentials(tmp_path / "d", registry)) as transport:
        get(transport)
        registry.tokens.clear()
        assert get(transport).status == 200
    assert registry.count("GET", "/token") == 2


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
def test_a_wrong_password_is_said_at_once(registry: Registry, tmp_path: Path, scheme: str) -> None:
    registry.scheme = scheme
    for found, words in ((credentials(tmp_path / "d", registry, "wrong"), "as 'ann'"), (NOBODY, "who you are")):
        with transport_to(registry, found) as transport, pytest.raises(Denied, match=f"{words}.*docker login"):
            get(transport)
    assert registry.count("GET", "/manifests/") <= 4


def test_authorization_stays_with_the_registry(registry: Registry, tmp_path: Path) -> None:
    registry.scheme = "basic"
    with Registry().serving() as other, transport_to(registry, credentials(tmp_path / "d", registry)) as transport:
        get(transport)
        registry.answers = [Answer("GET", "/manifests/", 307, {"Location": f"{other.base}/v2/?x=1"})]
        assert get(transport).status == 200
        registry.answers = [Answer("GET", "/manifests/", 302, {"Location": "/v2/iris/manifests/1?again"})]
        assert get(transport).status == 200
    (seen,) = other.seen
    assert "Authorization" not in seen.headers and seen.path == "/v2/?x=1"
    assert "Authorization" in registry.seen[-1].headers


def test_redirects_end(registry: Registry) -> None:
    registry.answers = [Answer("GET", "/manifests/", 302, {"Location": "/v2/iris/manifests/1"}, times=99)]
    with transport_to(registry) as transport:
        with pytest.raises(BadArtefact, match="redirects without end"):
            get(transport)
        registry.answers = [Answer("GET", "/manifests/", 302)]
        with pytest.raises(BadArtefact, match="redirects nowhere"):
            get(transport)
        for location in ("http://[::1", "/v2/\u00ff", "http://a b/", "http://a:port/"):
            registry.answers = [Answer("GET", "/manifests/", 302, {"Location": location})]
            with pytest.raises(GantlineError, match=r"sends us to|address"):
                get(transport)
        registry.answers = [Answer("GET", "/manifests/", 302, {"Location": "file:///etc/passwd"})]
        with pytest.raises(BadArtefact, match="sends us to 'file:"):
            get(transport)


def test_what_begins_by_tls_goes_on_so() -> None:
    with Transport("h.example", "h.example", None, NOBODY) as transport:
        at = "https://h.example:444/v2/x"
        assert transport.resolve(at, "/v2/y?a=1") == "https://h.example:444/v2/y?a=1"
        assert transport.resolve(at, "http://h.example/v2/y") == "https://h.example:444/v2/y"
        with pytest.raises(Denied, match="which is not encrypted"):
            transport.resolve(at, "http://elsewhere.example/v2/y")


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (429, Overloaded, "too many requests \\(SLOW: down\\); try again"),
        (503, Unavailable, "answers 503 \\(SLOW: down\\)"),
        (500, Unavailable, "answers 500"),
    ],
)
def test_patience_ends(registry: Registry, status: int, kind: type[GantlineError], words: str) -> None:
    body = b'{"errors": [{"code": "SLOW", "message": "down"}]}'
    registry.answers = [Answer("GET", "/manifests/", status, {}, body, times=3)]
    with transport_to(registry) as transport:
        assert get(transport).status == 200
        registry.answers = [Answer("GET", "/manifests/", status, {}, body, times=4)]
        with pytest.raises(kind, match=words):
            get(transport)


def test_a_body_is_sent_again(registry: Registry) -> None:
    registry.answers = [Answer("PUT", "/manifests/", 500, times=2)]
    with transport_to(registry) as transport:
        url = f"{transport.base}/v2/iris/manifests/2"
        with transport.call("PUT", url, SCOPES, {"Content-Type": "text/plain"}, Bytes(b"{}")) as found:
            assert found.status == 201
    assert registry.manifests["iris", "2"] == ("text/plain", b"{}")


def test_an_answer_without_reading_the_body_is_heard() -> None:
    """A server that refuses a large body closes while it is still being sent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            for _ in range(2):
                with suppress(OSError):
                    client, _ = listener.accept()
                    with client:
                        client.recv(100)
                        answer = b"HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                        client.sendall(answer % (b"200 OK" if _ == 0 else b"413 Too Large"))
                        client.shutdown(socket.SHUT_WR)
                        while client.recv(1 << 16):
                            pass

        thread = threading.Thread(target=refuse)
        thread.start()
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        with (
            Transport(host, host, None, NOBODY, QUICK) as transport,
            transport.once("PUT", transport.base + "/v2/x", SCOPES, {}, Bytes(bytes(1 << 20))) as found,
        ):
            assert found.status == 413
        thread.join()


def test_nobody_is_there(registry: Registry) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = f"127.0.0.1:{listener.getsockname()[1]}"
    with (
        Transport(host, host, None, NOBODY, QUICK) as transport,
        pytest.raises(Unreachable, match=f"registry {host}: nothing listens there"),
    ):
        get(transport)
    with (
        Transport("no.such.invalid", "no.such.invalid", None, NOBODY, QUICK) as transport,
        pytest.raises(Unreachable, match=r"registry no.such.invalid: its name is not known here"),
    ):
        get(transport)


def test_a_kept_connection_that_died_is_not_an_error(registry: Registry) -> None:
    with transport_to(registry) as transport:
        get(transport)
        port = int(registry.host.rpartition(":")[2])
        kept = next(k for idle in transport._connections._idle.values() for k in idle if k.endpoint.port == port)
        assert kept.link.sock is not None
        kept.link.sock.shutdown(socket.SHUT_RDWR)
        assert get(transport).status == 200


def test_stop_ends_what_runs(registry: Registry) -> None:
    registry.answers = [Answer("GET", "/manifests/", 503, {"Retry-After": "4"}, times=9)]
    with transport_to(registry) as transport:
        transport.base  # noqa: B018
        timer = threading.Timer(0.1, transport.stop)
        timer.start()
        with pytest.raises(Stopped):
            get(transport)
        timer.join()
        with pytest.raises(Stopped):
            get(transport)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`own.pem`: a certificate for 127.0.0.1 that vouches for itself, with its key."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is absent")
    folder = tmp_path_factory.mktemp("certificates")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key.pem",
         "-out", folder / "own.pem"], check=True, capture_output=True,
    )  # fmt: skip
    return folder


def test_tls(certificates: Path) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificates / "own.pem", certificates / "key.pem")
    with Registry(manifests={("iris", "1"): ("text/plain", b"{}")}).serving(server) as registry:
        with transport_to(registry, wiring=Wiring(ca_file=str(certificates / "own.pem"))) as transport:
            assert transport.base.startswith("https:") and get(transport).status == 200
        with transport_to(registry) as transport, pytest.raises(Unreachable, match=r"is not trusted.*--ca-file"):
            get(transport)
        server.load_verify_locations(certificates / "own.pem")
        server.verify_mode = ssl.CERT_REQUIRED
        mine = Wiring(
            ca_file=str(certificates / "own.pem"),
            client_cert=str(certificates / "own.pem"),
            client_key=str(certificates / "key.pem"),
        )
        with transport_to(registry, wiring=mine) as transport:
            assert get(transport).status == 200
        with transport_to(registry, wiring=Wiring(ca_file=mine.ca_file)) as transport, pytest.raises(Unreachable):
            get(transport)


def test_plain_http_where_tls_is_expected(registry: Registry, certificates: Path) -> None:
    wiring = Wiring(ca_file=str(certificates / "own.pem"), connect_s=5)
    with transport_to(registry, wiring=wiring) as transport, pytest.raises(Unreachable, match=r"TLS|plain|in time"):
        get(transport)


def test_tls_where_plain_http_was_asked_for(certificates: Path) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificates / "own.pem", certificates / "key.pem")
    with (
        Registry().serving(server) as registry,
        transport_to(registry, wiring=Wiring(plain_http=True)) as transport,
        pytest.raises(Unreachable, match="leave out --plain-http"),
    ):
        get(transport)


def test_a_proxy(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain request names its whole URL to the proxy, which is asked for the name that only it knows."""
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", registry.base.replace("://", "://me:p%40ss@"))
    with Transport("far.invalid", "far.invalid", Wiring(plain_http=True), NOBODY, QUICK) as transport:
        registry.answers = [Answer("GET", "http://far.invalid/v2/", 200)]
        assert get(transport).status == 200
    (seen,) = registry.seen
    assert seen.path == "http://far.invalid/v2/iris/manifests/1"
    assert seen.headers["Proxy-Authorization"] == "Basic " + base64.b64encode(b"me:p@ss").decode()
