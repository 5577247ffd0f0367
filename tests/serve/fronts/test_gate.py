"""A server with keys, over its sockets: both roads, every face, and a key that is taken out while it is in use."""

from __future__ import annotations

import json
import logging
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from gantline.serve import key_file
from gantline.serve.access import HTTP, NOBODY
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import gantline
from gantline.client import Client
from gantline.errors import Denied

if TYPE_CHECKING:
    from tests.serve.conftest import Answer, Running

SCORER, SPARE, SOME, BOSS = (f"the-secret-of-{name}-in-full" for name in ("scorer", "spare", "some", "boss"))
ALL = (SCORER, SPARE, SOME, BOSS)
INFER = {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}


def entry(name: str, role: str, *secrets: str, rest: str = "") -> str:
    lines = [f'{field} = "{s}"' for field, s in zip(("primary", "secondary"), secrets, strict=False)]
    return "\n".join([f"[key.{name}]", f'role = "{role}"', *lines, rest, ""])


FILE = (
    entry("scorer", "score", SCORER, SPARE)
    + entry("some", "score", SOME, rest='models = ["double", "echo"]')
    + entry("boss", "admin", BOSS)
)
SCRIPT = """
from azureml.contrib.services.aml_request import rawhttp

def init():
    pass

@rawhttp
def run(request):
    return {"method": request.method, "headers": sorted(k.lower() for k, _ in request.headers)}
"""


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scoring script that answers with the headers it was given."""
    root = tmp_path_factory.mktemp("script")
    (root / "score.py").write_text(SCRIPT)
    return gantline.package(script=root / "score.py", name="echo", env="current", output=root / "echo.pkg").path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "keys.toml"
    found.write_text(FILE)
    found.chmod(0o600)
    return found


@pytest.fixture(scope="module")
def guarded(
    servers: Callable[..., Running], zoo: Path, echo: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """A server with these keys, for all tests that leave it as it was."""
    path = tmp_path_factory.mktemp("keys") / "keys.toml"
    path.write_text(FILE)
    path.chmod(0o600)
    yield servers(zoo, echo, keys=path, default="echo")


def key(secret: str | None) -> tuple[str, ...]:
    return () if secret is None else (f"X-Api-Key: {secret}",)


def ask(server: Running, method: str, path: str, secret: str | None, body: Any = None) -> Answer:
    head = server.post(path, body or b"{}", *key(secret)) if method == "POST" else server.get(path, *key(secret))
    return server.ask(head)[0]


# what each answers to: nobody, a scorer, a key for some models, an admin
TABLE = [
    ("GET", "/v2/health/live", None, (200, 200, 200, 200)),
    ("GET", "/v2/health/ready", None, (200, 200, 200, 200)),
    ("GET", "/", None, (200, 200, 200, 200)),
    ("GET", "/v2", None, (401, 200, 200, 200)),
    ("GET", "/v2/models/stats", None, (401, 200, 403, 200)),
    ("GET", "/v2/models/double", None, (401, 200, 200, 200)),
    ("GET", "/v2/models/lookup", None, (401, 200, 403, 200)),
    ("GET", "/v2/models/double/versions/1/config", None, (401, 200, 200, 200)),
    ("POST", "/v2/models/double/infer", INFER, (401, 200, 200, 200)),
    ("POST", "/v2/models/%64ouble/infer", INFER, (401, 200, 200, 200)),
    ("POST", "/v2%2Fmodels/double/infer", INFER, (401, 404, 404, 404)),
    ("POST", "/v2/models/lookup/infer", {}, (401, 400, 403, 400)),
    ("POST", "/v2/models/%6cookup/infer", {}, (401, 400, 403, 400)),
    ("POST", "/v2/repository/index", None, (401, 200, 403, 200)),
    ("POST", "/v2/repository/models/none/load", None, (401, 403, 403, 404)),
    ("POST", "/v2/repository/models/none/%6coad", None, (401, 403, 403, 404)),
    ("POST", "/v2/repository/models/none/unload", None, (401, 403, 403, 404)),
    ("GET", "/v2/systemsharedmemory/status", None, (401, 403, 403, 200)),
    ("POST", "/v2/systemsharedmemory/region/r/register", {}, (401, 403, 403, 400)),
    ("GET", "/v2/cudasharedmemory/status", None, (401, 403, 403, 200)),
    ("GET", "/v2/logging", None, (401, 403, 403, 200)),
    ("POST", "/v2/logging", {}, (401, 403, 403, 200)),
    ("GET", "/v2/trace/setting", None, (401, 403, 403, 200)),
    ("GET", "/v2/models/double/trace/setting", None, (401, 403, 403, 200)),
    ("GET", "/metrics", None, (401, 200, 403, 200)),
    ("POST", "/score", {}, (401, 200, 200, 200)),
    ("GET", "/score", None, (401, 200, 200, 200)),
    ("GET", "/swagger.json", None, (401, 200, 200, 200)),
    ("POST", "/models/echo/score", {}, (401, 200, 200, 200)),
    ("GET", "/models/echo/swagger.json", None, (401, 200, 200, 200)),
    ("GET", "/nothing", None, (401, 404, 404, 404)),
    ("GET", "/v2/models/double/infer", None, (401, 405, 405, 405)),
]


@pytest.mark.parametrize(("method", "path", "body", "statuses"), TABLE, ids=[f"{m} {p}" for m, p, _, _ in TABLE])
def test_who_gets_what(
    guarded: Running, method: str, path: str, body: Any, statuses: tuple[int, int, int, int]
) -> None:
    found = [ask(guarded, method, path, secret, body) for secret in (None, SCORER, SOME, BOSS)]
    assert tuple(a.status for a in found) == statuses
    for answer in found:
        assert ("www-authenticate" in answer.headers) is (answer.status in (401, 403))
        assert not any(secret.encode() in answer.body for secret in ALL)
    wrong = ask(guarded, method, path, SCORER + "x", body)
    assert wrong.status == found[0].status


def test_the_answers_words(guarded: Running) -> None:
    for answer in (ask(guarded, "POST", "/v2/models/double/infer", None, INFER), ask(guarded, "GET", "/v2", None)):
        assert answer.json() == {"error": "no key; send a key as 'Authorization: Bearer KEY' or as 'x-api-key: KEY'"}
        assert answer.headers["www-authenticate"] == 'Bearer realm="gantline"'
    for method in ("POST", "GET"):
        answer = ask(guarded, method, "/score", "unknown-key", {})
        assert answer.json()["message"].startswith("the key is not known here; ")
        assert answer.headers["x-ms-run-function-failed"] == "False"
    answer = ask(guarded, "POST", "/v2/repository/models/double/load", SCORER)
    assert answer.json() == {"error": "key 'scorer' has the role score; this needs admin"}
    assert answer.headers["www-authenticate"] == 'Bearer realm="gantline", error="insufficient_scope"'


def test_a_bearer_token_as_azure_has_it(guarded: Running) -> None:
    for secret in (SCORER, SPARE):
        raw = guarded.post("/score", b"{}", f"authorization: Bearer {secret}")
        assert guarded.ask(raw)[0].status == 200


def test_a_script_is_not_given_the_key(guarded: Running) -> None:
    for raw in (
        guarded.post("/score", b"{}", f"Authorization: Bearer {SCORER}", "X-Api-Key: " + SCORER, "X-Other: 1"),
        guarded.get("/score", f"Authorization: Bearer {SCORER}", "X-Other: 1"),
    ):
        names = guarded.ask(raw)[0].json()["headers"]
        assert "x-other" in names and "authorization" not in names and "x-api-key" not in names


def test_names_of_models_are_not_told_to_everybody(servers: Callable[..., Running], zoo: Path, file: Path) -> None:
    server = servers(zoo / "double.onnx", keys=file)
    assert "models" not in ask(server, "GET", "/", None).json()
    strict = servers(zoo / "double.onnx", keys=file, keyless="nothing")
    assert [ask(strict, "GET", p, None).status for p in ("/", "/v2/health/ready")] == [401, 401]
    assert ask(strict, "GET", "/v2/health/ready", SCORER).status == 200


def test_a_body_without_a_key_is_not_waited_for(guarded: Running) -> None:
    """Nor kept: whoever may not ask could else fill the memory."""
    head = b"POST /v2/models/double/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 60000000\r\n"
    for extra in (b"", b"Expect: 100-continue\r\n"):
        with guarded.connect() as s:
            s.sendall(head + extra + b"\r\n")
            (answer,) = guarded.answers(guarded.read_all(s))
            assert answer.status == 401 and answer.headers["connection"] == "close"


def test_requests_before_one_without_a_key_are_answered(guarded: Running) -> None:
    raw = guarded.post("/v2/models/double/infer", INFER, *key(SCORER))
    answers = guarded.ask(raw + guarded.get("/v2", *key(BOSS)) + guarded.post("/v2/models/double/infer", INFER) + raw)
    assert [a.status for a in answers] == [200, 200, 401]


def test_a_route_without_a_rule_is_nobodys(
    servers: Callable[..., Running], zoo: Path, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = servers(zoo / "double.onnx", keys=file)

    async def forgotten(request: Request) -> Response:
        return Response("secret")

    server.stack.app.router.routes.insert(0, Route("/forgotten", forgotten))
    assert HTTP.get("/forgotten", NOBODY) is NOBODY
    for secret, status in ((None, 401), (SCORER, 403), (BOSS, 403)):
        answer = ask(server, "GET", "/forgotten", secret)
        assert answer.status == status and b"secret" not in answer.body
    assert "/forgotten has no rule in serve/access.py" in caplog.text


def test_denials_are_counted(servers: Callable[..., Running], zoo: Path, file: Path) -> None:
    server = servers(zoo / "double.onnx", keys=file)
    for secret in (None, "an-unknown-one", SCORER):
        ask(server, "POST", "/v2/repository/models/double/load", secret)
        ask(server, "POST", "/v2/models/double/infer", secret, INFER)
    lines = ask(server, "GET", "/metrics", BOSS).body.decode().splitlines()
    assert [line for line in lines if line.startswith("gantline_denied")] == [
        'gantline_denied_total{reason="forbidden"} 1',
        'gantline_denied_total{reason="unauthenticated"} 4',
    ]


def test_no_key_is_asked_where_there_are_none(server: Running) -> None:
    answer = ask(server, "POST", "/v2/models/double/infer", "whatever", INFER)
    assert answer.status == 200 and "models" in ask(server, "GET", "/", None).json()


def test_a_key_that_is_taken_out_under_load(
    servers: Callable[..., Running], zoo: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On kept connections whose head is known byte for byte: the old secret ends, the one that stays loses nothing."""
    monkeypatch.setattr(key_file, "PERIOD_S", 0.01)
    server = servers(zoo / "double.onnx", keys=file)
    found: dict[str, list[int]] = {SCORER: [], SPARE: []}
    rotated = threading.Event()
    after = threading.Semaphore(0)

    def ask_on_and_on(secret: str) -> None:
        raw = server.post("/v2/models/double/infer", INFER, *key(secret))
        with server.connect() as s:
            while True:
                late = rotated.is_set()
                s.sendall(raw)
                answer = server.read_answer(s)
                found[secret].append(answer.status)
                after.release()
                if answer.status != 200:
                    assert answer.status == 401 and answer.headers["connection"] == "close"
                    return
                if late and secret == SPARE and found[secret].count(200) > 400:
                    return

    threads = [threading.Thread(target=ask_on_and_on, args=(s,)) for s in (SCORER, SPARE)]
    for t in threads:
        t.start()
    for _ in range(200):
        assert after.acquire(timeout=20)
    fresh = "a-fresh-secret-for-the-scorer"
    file.write_text(entry("scorer", "score", fresh, SPARE) + entry("boss", "admin", BOSS))
    threads[0].join(20)
    rotated.set()
    threads[1].join(20)
    assert not any(t.is_alive() for t in threads)
    assert found[SCORER][-1] == 401 and set(found[SCORER][:-1]) == {200} and set(found[SPARE]) == {200}
    assert ask(server, "POST", "/v2/models/double/infer", fresh, INFER).status == 200
    assert ask(server, "POST", "/v2/models/double/infer", SOME, INFER).status == 401


def test_a_broken_file_changes_nothing(
    servers: Callable[..., Running], zoo: Path, file: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr(key_file, "PERIOD_S", 0.01)
    server = servers(zoo / "double.onnx", keys=file)
    file.write_text(FILE.replace('role = "admin"', 'role = "king"'))
    server.until(lambda: "stay in force" in caplog.text)
    assert ask(server, "GET", "/v2", BOSS).status == 200
    file.write_text(FILE.replace(BOSS, "the-boss-has-another-secret"))
    server.until(lambda: "different: boss" in caplog.text)
    assert ask(server, "GET", "/v2", BOSS).status == 401


def test_no_secret_is_in_any_log(
    servers: Callable[..., Running], zoo: Path, echo: Path, file: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """At the debug level, with the access log, through every road, good and bad requests, and a change of the file."""
    monkeypatch.setattr(key_file, "PERIOD_S", 0.01)
    with caplog.at_level(logging.DEBUG):
        server = servers(zoo, echo, keys=file, access_log="true", log_level="debug", default="echo")
        for secret in (*ALL, "an-unknown-secret-of-somebody"):
            for method, path, body, _ in TABLE:
                ask(server, method, path, secret, body)
            bearer = f"Authorization: Bearer {secret}"
            server.ask(server.post("/score", b"{}", bearer, f"Cookie: {secret}", f"X-Request-Id: {'i' * 200}"))
            server.ask(server.post("/v2/models/double/infer", b"not json", bearer))
            server.ask(server.post("/v2/models/double/infer", b"{}", bearer, "Content-Encoding: br"))
            server.talk(f"POST /score HTTP/1.1\r\nAuthorization: Bearer {secret}\r\nbad header\r\n\r\n".encode())
        file.write_text(FILE.replace(BOSS, BOSS[:-1]))
        server.until(lambda: "different: boss" in caplog.text)
        server.close()
    out = capfd.readouterr()
    logged = caplog.text + out.out + out.err
    assert "HTTP/1.1" in logged and "/v2/models/double/infer" in logged  # the access log was on
    for secret in (*ALL, "an-unknown-secret-of-somebody"):
        assert secret not in logged


def test_gantlines_own_client(guarded: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    x = {"x": np.ones((1, 3), np.float32)}
    with Client(guarded.url, key=SCORER) as client:
        np.testing.assert_array_equal(client.infer("double", x)["y"], [[2, 2, 2]])
        assert client.score({})["method"] == "POST"
        with pytest.raises(Denied, match="needs admin") as caught:
            client.load("double")
        assert caught.value.known
    with Client(guarded.url) as client:
        assert client.live()
        with pytest.raises(Denied, match="no key") as caught:
            client.infer("double", x)
        assert not caught.value.known
    with Client(guarded.url, headers={"x-api-key": BOSS}) as client:
        client.load("double")


def test_a_connection_that_is_turned_away_is_closed_in_order(guarded: Running) -> None:
    """The client may still be sending: what it is told must reach it."""
    raw = guarded.post("/v2/models/double/infer", json.dumps(INFER).encode() + b" " * 200_000)
    with guarded.connect() as s:
        s.sendall(raw)
        answer = guarded.answers(guarded.read_all(s))
        assert [a.status for a in answer] == [401]


def test_over_tls(servers: Callable[..., Running], zoo: Path, file: Path, certificate: tuple[Path, Path]) -> None:
    server = servers(zoo / "double.onnx", keys=file, tls_certificate=certificate[0], tls_key=certificate[1])
    context = ssl.create_default_context(cafile=str(certificate[0]))
    x = {"x": np.ones((1, 3), np.float32)}
    with Client(f"https://localhost:{server.port}", key=SCORER, tls=context) as client:
        np.testing.assert_array_equal(client.infer("double", x)["y"], [[2, 2, 2]])
        with pytest.raises(Denied, match="needs admin"):
            client.unload("double")
    with Client(f"https://localhost:{server.port}", tls=context) as client, pytest.raises(Denied, match="no key"):
        client.infer("double", x)


PLAIN_SCRIPT = """
def init():
    pass

def run(data):
    return data
"""


def test_a_browsers_preflight_brings_no_key(
    servers: Callable[..., Running], echo: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AML_CORS_ORIGINS", "https://a.example")
    (tmp_path / "score.py").write_text(PLAIN_SCRIPT)
    package = gantline.package(script=tmp_path / "score.py", name="plain", env="current", output=tmp_path / "p.pkg")
    server = servers(package.path, echo, keys=file, default="plain")
    asked = ("Origin: https://a.example", "Access-Control-Request-Method: POST")
    answer = server.ask(server.get("/score", *asked, method="OPTIONS"))[0]
    assert answer.status == 200 and answer.headers["access-control-allow-origin"] == "https://a.example"
    for path in ("/models/echo/score", "/swagger.json", "/v2"):  # here a script would run, and there it is no preflight
        status = server.ask(server.get(path, *asked, method="OPTIONS"))[0].status
        assert status == (200 if path == "/swagger.json" else 401)
    assert server.ask(server.get("/score", asked[0]))[0].status == 401
