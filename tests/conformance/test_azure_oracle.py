"""The real azureml-inference-server-http 1.5.1 and Gantline, asked the same, answer the same.

Differences on purpose, which the comparison leaves out: `x-ms-server-version` names who answers; ours say which package
gave them; `date`, `server`, `connection` and the order of headers are the HTTP server's. The last tests hold two more:
a form's body reaches run(), and a body that is not UTF-8 is a client's error.
"""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
SCRIPTS = HERE / "azure_scripts"
NAMES = sorted(p.name for p in SCRIPTS.iterdir() if (p / "score.py").is_file())
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
CORS = "https://a.example, https://b.example"

pytestmark = [pytest.mark.oracle, pytest.mark.slow]


@dataclass(frozen=True)
class Case:
    """One request to one script."""

    script: str
    path: str = "/score"
    body: bytes = b""
    method: str = "POST"
    headers: tuple[tuple[str, str], ...] = field(default=(("Content-Type", "application/json"),))

    def __str__(self) -> str:
        return f"{self.script} {self.method} {self.path} {self.body[:40]!r} {dict(self.headers)}"[:120]


def told(deed: str) -> Case:
    return Case("words", body=b'{"do": "%s"}' % deed.encode())


def words(**headers: str) -> Case:
    return Case("words", body=b"[1]", headers=tuple((k.replace("_", "-"), v) for k, v in headers.items()))


def get(script: str, path: str) -> Case:
    return Case(script, path, method="GET", headers=())


TEXT = (("Content-Type", "text/plain"),)
DEEDS = (
    "none", "string", "json string", "list", "number", "nan", "fail", "set", "empty", "false", "keys", "response",
    "response json", "response none", "response 404", "response 503", "response failed", "response headers", "unknown",
)  # fmt: skip
CASES: list[Case] = [
    *map(told, DEEDS),
    Case("words", body=b""),
    Case("words", body=b"not json", headers=TEXT),
    Case("words", body=b"\xff\xfe"),
    Case("words", body="ä€😀".encode(), headers=()),
    Case("words", body=b"[1, 2]" * 60_000, headers=TEXT),
    get("words", "/score?a=1&b=[1,2]&c=a&d=null&a=x"),
    get("words", "/score?x=%C3%BC+y&empty="),
    get("words", "/score"),
    get("words", "/score?do=fail"),
    Case("words", "/score?x=1", b"[2]"),
    *(Case("words", "/score", b"[1]", method=m, headers=()) for m in ("OPTIONS", "PUT", "DELETE", "HEAD", "PATCH")),
    *(Case("words", "/", method=m, headers=()) for m in ("GET", "HEAD", "POST", "OPTIONS")),
    *(Case("words", "/swagger.json", method=m, headers=()) for m in ("GET", "HEAD", "POST", "OPTIONS")),
    get("words", "/nothing"),
    Case("words", "/score/", b"[1]"),
    words(x_request_id="mine"),
    words(x_request_id="x" * 100),
    words(x_request_id="x" * 101),
    words(x_request_id=""),
    words(x_ms_request_id="legacy"),
    words(x_ms_client_request_id="client"),
    words(x_request_id="r", x_ms_request_id="l", x_ms_client_request_id="c"),
    words(x_ms_request_id="x" * 101),
    words(x_ms_client_request_id="x" * 101),
    words(x_ms_client_request_id="x" * 101, x_request_id="kept", TraceId="t"),
    words(TraceId="trace", x_request_id="r"),
    Case("words", "/", method="GET", headers=(("x-request-id", "r"), ("TraceId", "t"))),
    Case("words", "/nothing", method="GET", headers=(("x-request-id", "r"), ("TraceId", "t"))),
    *(get(n, f"/swagger.json{v}") for n in NAMES for v in ("", "?version=3", "?version=3.1")),
    *(get("words", f"/swagger.json?version={v}") for v in ("2", "2.0", "3.0", "4", "", "2&version=3")),
    get("mixed", "/swagger.json?version=2.0"),
    Case("tensors", body=b'{"data": [[1, 2, 3], [4, 5, 6]]}'),
    Case("tensors", body=b'{"data": [[1, 2, 3]], "factor": 10, "unknown": 1}'),
    Case("tensors", body=b'{"factor": 10}'),
    Case("tensors", body=b'{"data": [[1, 2]]}'),
    Case("tensors", body=b'{"data": [1, 2, 3]}'),
    Case("tensors", body=b'{"data": "words"}'),
    Case("tensors", body=b'{"data": [[1, 2, "x"]]}'),
    Case("tensors", body=b'{"data": [[1, 2, 3]], "factor": "two"}'),
    Case("tensors", body=b"[[1, 2, 3]]"),
    Case("tensors", body=b""),
    Case("tensors", body=b"{"),
    Case("tensors", body=b'{"data": [[1, 2, 3]]}', headers=TEXT),
    Case("tensors", body=b'{"data": [[1, 2, 3]]}', headers=()),
    Case("tensors", body=b'{"data": [[1, 2, 3]]}', headers=(("Content-Type", "Application/JSON; charset=utf-8"),)),
    Case("tensors", body=b'{"data": [[1, 2, 3]]}', headers=(("Content-Type", "application/x+json"),)),
    get("tensors", "/score?data=[[1,2,3]]&factor=3"),
    get("tensors", "/score?factor=3"),
    Case("frames", body=b'{"table": [{"age": 1, "name": "x", "when": "2024-01-01"}]}'),
    Case("frames", body=b'{"table": [{"age": 1, "name": "x"}]}'),
    Case("frames", body=b'{"table": [{"age": "old", "name": "x", "when": "2024-01-01"}]}'),
    Case("frames", body=b'{"table": 3}'),
    Case("frames", body=b'{"table": []}'),
    Case("nested", body=b'{"inputs": {"points": [[1, 2]], "label": "b"}, "arrays": [[[1, 1]]], "flag": false}'),
    Case("nested", body=b'{"inputs": {"label": "b"}, "arrays": [], "flag": true}'),
    Case("nested", body=b'{"inputs": [], "arrays": [], "flag": true}'),
    Case("nested", body=b'{"inputs": {"points": [[1, 2]]}, "arrays": {}, "flag": true}'),
    Case("nested", body=b'{"inputs": {"points": [[1, 2]]}, "arrays": [], "flag": 1}'),
    Case("raw", "/score?a=1&a=2&b=", b'{"x": 1}'),
    Case("raw", "/score", b"\xff\x00", headers=()),
    Case("raw", "/score?bytes=1", b"abc", headers=TEXT),
    Case("raw", "/score?fail=1", b"abc"),
    Case("raw", "/score", b"a=1&b=2", headers=(("Content-Type", "application/x-www-form-urlencoded"),)),
    Case("raw", "/score?q=1", method="GET", headers=(("X-Who", "me"),)),
    *(Case("raw", "/score", method=m, headers=()) for m in ("OPTIONS", "HEAD", "PUT")),
    Case("headers", body=b"hi", headers=(("x-who", "me"), ("x-twice", "a"), ("X-Twice", "b"), ("TraceId", "t"))),
    Case("headers", body=b"", headers=()),
    Case("slow", body=b"fast", headers=()),
    Case("slow", body=b"slow", headers=(("x-request-id", "r"),)),
    Case("driver", body=b"what", headers=()),
    get("own_swagger", "/swagger.json?version=2"),
    *(
        Case("cors", "/score", b"[1]", m, (*([("Origin", o)] if o else []), *more))
        for m in ("POST", "OPTIONS")
        for o in ("https://a.example", "https://B.example", "https://c.example", "")
        for more in ((), (("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", "x-b, x-a")))
    ),
    Case("cors", "/", method="GET", headers=(("Origin", "https://a.example"),)),
    Case("cors", "/nothing", method="GET", headers=(("Origin", "https://a.example"),)),
]


@dataclass(frozen=True)
class Servers:
    """Where each script answers: the oracle by script, and ours (which has them all) with the script's prefix."""

    theirs: dict[str, int]
    ours: dict[str, int]


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int], rival: Callable[[str], Path]
) -> Iterator[Servers]:
    python = rival("azureml-server")
    folder = tmp_path_factory.mktemp("azure")
    with ExitStack() as stack:
        theirs = {name: stack.enter_context(Running(*their_command(python, name, free_port()))) for name in NAMES}
        for name in NAMES:
            package(name, folder)
        ours = {
            name: stack.enter_context(Running(*our_command([folder / f"{name}.pkg"], name, free_port())))
            for name in ("words", "raw", "slow", "cors")
        }
        rest = [folder / f"{name}.pkg" for name in NAMES if name not in ours]
        shared = stack.enter_context(Running(*our_command(rest, "", free_port())))
        for server in theirs.values():
            server.wait("/")
        for server in (*ours.values(), shared):
            server.wait("/v2/health/ready")
        yield Servers({n: s.port for n, s in theirs.items()}, {n: ours.get(n, shared).port for n in NAMES})


def package(name: str, folder: Path) -> None:
    import gantline

    gantline.package(SCRIPTS / name, name=name, output=folder / f"{name}.pkg")


class Running:
    """A server process on a port of its own."""

    def __init__(self, command: list[str], environment: dict[str, str], folder: Path, port: int) -> None:
        self.port = port
        self._process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        assert self._process.stdout is not None
        with self._process.stdout:
            self._process.stdout.read()  # until it is gone: it must not stop at a full pipe
        self._process.wait(20)

    def wait(self, path: str) -> None:
        """Until it answers this path with 200."""
        for _ in range(2400):
            if self._process.poll() is not None:
                assert self._process.stdout is not None
                raise AssertionError(self._process.stdout.read().decode()[-3000:])
            try:
                if ask(self.port, get("", path))[0] == 200:
                    return
            except OSError:
                pass
            try:
                self._process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
        raise AssertionError("no answer within two minutes")


def their_command(python: Path, name: str, port: int) -> tuple[list[str], dict[str, str], Path, int]:
    command = [str(python.parent / "azmlinfsrv"), "--entry_script", "score.py", "--port", str(port)]
    return command, environment_of(name), SCRIPTS / name, port


def our_command(packages: list[Path], name: str, port: int) -> tuple[list[str], dict[str, str], Path, int]:
    command = [sys.executable, "-m", "gantline", "serve", "--no-grpc", "--http-port", str(port), *map(str, packages)]
    return command, environment_of(name), packages[0].parent, port


def environment_of(name: str) -> dict[str, str]:
    out = {k: v for k, v in os.environ.items() if not k.startswith(("GANTLINE_", "AZUREML_", "AML_", "SERVICE_"))}
    return {**out, "PYTHONDONTWRITEBYTECODE": "1", **({"AML_CORS_ORIGINS": CORS} if name == "cors" else {})}


def ask(port: int, case: Case, prefix: str = "") -> tuple[int, list[tuple[str, str]], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.putrequest(case.method, prefix + case.path, skip_accept_encoding=True)
        for header, value in case.headers:
            connection.putheader(header, value)
        if case.method not in ("GET", "HEAD"):
            connection.putheader("Content-Length", str(len(case.body)))
        connection.endheaders(case.body if case.method not in ("GET", "HEAD") else None)
        answer = connection.getresponse()
        return answer.status, answer.getheaders(), answer.read()
    finally:
        connection.close()


def comparable(case: Case, headers: list[tuple[str, str]]) -> list[tuple[str, Any]]:
    """Headers in one order, what is random or measured replaced by its form."""
    out: list[tuple[str, Any]] = []
    for name, value in headers:
        key: str = name.lower()
        if key in ("date", "server", "connection", "keep-alive", "gantline-package-digest"):
            continue
        seen: Any = value
        if key == "x-ms-server-version":
            seen = bool(re.fullmatch(r"[\w.-]+/[\w.]+", value))
        elif key == "x-ms-run-fn-exec-ms":
            seen = bool(re.fullmatch(r"\d+\.\d{3}", value))
        elif key.endswith("request-id") and UUID.fullmatch(value):
            seen = "a UUID"
        elif key == "allow":
            seen = sorted(v.strip() for v in value.split(","))
        out.append((key, seen))
    return sorted(out, key=str)


def prefixed(case: Case, servers: Servers) -> str:
    alone = list(servers.ours.values()).count(servers.ours[case.script]) == 1
    return "" if alone else f"/models/{case.script}"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_same_answer(case: Case, servers: Servers) -> None:
    theirs = ask(servers.theirs[case.script], case)
    ours = ask(servers.ours[case.script], case, prefixed(case, servers))
    assert (ours[0], ours[2]) == (theirs[0], theirs[2])
    assert comparable(case, ours[1]) == comparable(case, theirs[1])


def test_enough_is_compared() -> None:
    assert len(CASES) >= 60
    assert {c.script for c in CASES} == set(NAMES)


def test_a_form_is_passed_as_it_came(servers: Servers) -> None:
    # curl's default type; theirs parses it as a form and gives run() an empty string
    case = Case("words", body=b"a=1&b=2", headers=(("Content-Type", "application/x-www-form-urlencoded"),))
    assert ask(servers.theirs["words"], case)[2] == b'""'
    assert ask(servers.ours["words"], case)[2] == b'"a=1&b=2"'


def test_a_body_that_is_not_utf8_for_a_schema_is_the_clients_fault(servers: Servers) -> None:
    # the one difference in status: theirs calls it an internal error
    case = Case("tensors", body=b'{"data": "\xff"}')
    assert ask(servers.theirs["tensors"], case)[0] == 500
    status, _, body = ask(servers.ours["tensors"], case, "/models/tensors")
    assert status == 400 and b"POST body could not be decoded as JSON" in body
