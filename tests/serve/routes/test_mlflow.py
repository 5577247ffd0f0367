"""/invocations and its neighbours over real HTTP: forms, types, statuses, and errors that say nothing of the input."""

from __future__ import annotations

import gzip
import http.client
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gantline
from tests.serve.conftest import Answer, Running
from tests.serve.key_table import SCORER, SOME, key_table, write_keys

JSON = "application/json"
Servers = Callable[..., Running]
ROWS = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
TWICE = [[2.0, 4.0, 6.0], [8.0, 10.0, 12.0]]


@pytest.fixture(scope="module")
def doubling(servers: Servers) -> Running:
    return servers(default="double")


def ask(server: Running, path: str, body: Any = None, kind: str = JSON, method: str = "POST", **more: str) -> Answer:
    """One request; `more` are headers, with `_` for `-`."""
    headers = {name.replace("_", "-"): value for name, value in more.items()} | ({"content-type": kind} if kind else {})
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request(method, path, data, headers)
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": ROWS},
        {"instances": ROWS, "params": {"k": 1}},
        {"dataframe_split": {"columns": ["a", "b", "c"], "data": ROWS}},
        {"dataframe_records": [dict(zip("abc", row, strict=True)) for row in ROWS]},
        {"inputs": {"x": ROWS}},
    ],
)
def test_each_form_again_and_again(doubling: Running, body: Any) -> None:
    for path in ("/invocations", "/models/double/invoke", "/models/do%75ble/invoke", "/invocations"):
        answer = ask(doubling, path, body)
        assert (answer.status, answer.headers["content-type"]) == (200, JSON)
        assert answer.json() == {"predictions": TWICE}


def test_csv_both_ways(doubling: Running) -> None:
    answer = ask(doubling, "/invocations", b"1,2,3\n4,5,6\n", "text/csv", accept="text/csv")
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/csv")
    assert answer.body == b"2.0,4.0,6.0\n8.0,10.0,12.0\n"
    answer = ask(doubling, "/invocations", b"a,b,c\n1,2,3\n4,5,6\n", "text/csv; charset=utf-8")
    assert answer.json() == {"predictions": TWICE}
    answer = ask(doubling, "/invocations", {"inputs": ROWS}, accept="text/csv, */*;q=0.1")
    assert answer.body == b"2.0,4.0,6.0\n8.0,10.0,12.0\n"


def test_lines_both_ways(doubling: Running) -> None:
    """As SageMaker's batch jobs send and join them."""
    lines = "application/jsonlines"
    answer = ask(doubling, "/invocations", b"[1,2,3]\n[4,5,6]\n", lines, accept=lines)
    assert (answer.status, answer.headers["content-type"]) == (200, lines)
    assert answer.body == b"[2.0,4.0,6.0]\n[8.0,10.0,12.0]\n"
    assert ask(doubling, "/invocations", b"[1,2,3]\n[4,5,6]\n", lines).json() == {"predictions": TWICE}
    answer = ask(doubling, "/models/double/invoke", b"1,2,3\n", "text/csv", accept="application/x-ndjson")
    assert answer.body == b"[2.0,4.0,6.0]\n"


def test_answers_without_rows(doubling: Running) -> None:
    for accept, body in (("text/csv", b""), ("application/jsonlines", b""), (JSON, b'{"predictions":[]}')):
        answer = ask(doubling, "/models/positive/invoke", {"inputs": [-1.5]}, accept=accept)
        assert (answer.status, answer.body) == (200, body)


def test_octets_are_one_row(doubling: Running) -> None:
    body = np.array([1, 2, 3], "<f4").tobytes()
    answer = ask(doubling, "/invocations", body, "application/octet-stream")
    assert answer.json() == {"predictions": TWICE[:1]}


def test_large_and_compressed_bodies(doubling: Running) -> None:
    many = {"inputs": ROWS * 5000}
    answer = ask(doubling, "/invocations", many)
    assert answer.json() == {"predictions": TWICE * 5000}
    packed = gzip.compress(json.dumps(many).encode())
    answer = ask(doubling, "/invocations", packed, content_encoding="gzip", accept_encoding="gzip")
    assert json.loads(gzip.decompress(answer.body)) == {"predictions": TWICE * 5000}


BAD: list[tuple[Any, str, int, str]] = [
    (b"", JSON, 400, "empty"),
    (b"secret", JSON, 400, "not JSON"),
    (b"\xff", JSON, 400, "not JSON"),
    ([["secret"]], JSON, 400, "exactly one of"),
    ({"secret": 1}, JSON, 400, "exactly one of"),
    ({"inputs": ROWS, "instances": ROWS}, JSON, 400, "exactly one of"),
    ({"inputs": [["secret", 1, 2]]}, JSON, 400, "must be numbers"),
    ({"inputs": [[1, 2]]}, JSON, 400, "takes shape"),
    ({"inputs": [[1, 2, 3], [4]]}, JSON, 400, "does not have shape"),
    ({"instances": []}, JSON, 400, "not empty"),
    ({"dataframe_split": {"columns": ["a"], "data": [["secret"]]}}, JSON, 400, "must be numbers"),
    ({"dataframe_split": {"data": ROWS, "secret": 1}}, JSON, 400, "nothing else"),
    ({"dataframe_records": [{"a": 1}]}, JSON, 400, "takes shape"),
    (b'{"inputs": ' + b"[" * 3000, JSON, 413, "nested too deeply"),
    (b"[" * 70_000, JSON, 413, "nested too deeply"),
    (b"1,2,secret\n", "text/csv", 400, "not a number"),
    (b"1,2,3\n4\n", "text/csv", 400, "record 2 has 1 fields"),
    (b"", "text/csv", 400, "empty"),
    (b"\xff\xfe", "text/csv", 400, "not UTF-8"),
    (b"123", "application/octet-stream", 400, "bytes"),
    (b"secret", "text/plain", 415, "content type"),
    (b"secret=1", "application/x-www-form-urlencoded", 415, "content type"),
    (b"{}", "application/json; charset=latin-1", 415, "UTF-8"),
    (b"{}", "application/vnd.apache.parquet", 415, "content type"),
    (b"[1,2,3]\nsecret", "application/jsonlines", 400, "line 2"),
    (b"", "application/jsonlines", 400, "empty"),
]


@pytest.mark.parametrize("path", ["/invocations", "/models/do%75ble/invoke"])
@pytest.mark.parametrize(("body", "kind", "status", "told"), BAD)
def test_bad_input_is_a_line(doubling: Running, path: str, body: Any, kind: str, status: int, told: str) -> None:
    answer = ask(doubling, path, body, kind)
    tree = answer.json()
    assert answer.status == status and answer.headers["content-type"] == JSON
    assert set(tree) == {"error_code", "message"} and tree["error_code"] == "BAD_REQUEST"
    assert told in tree["message"] and "\n" not in tree["message"]
    assert b"secret" not in answer.body and b"Traceback" not in answer.body


def test_damaged_codings_and_wishes(doubling: Running) -> None:
    body = {"inputs": ROWS}
    assert ask(doubling, "/invocations", b"secret", content_encoding="gzip").status == 400
    answer = ask(doubling, "/invocations", body, content_encoding="br")
    assert answer.status == 501 and answer.json()["error_code"] == "NOT_IMPLEMENTED"
    answer = ask(doubling, "/invocations", body, x_gantline_timeout_ms="soon")
    assert answer.status == 400 and answer.json()["error_code"] == "BAD_REQUEST"


def test_what_a_model_fails_on_is_the_inputs_fault(doubling: Running) -> None:
    answer = ask(doubling, "/models/lookup/invoke", {"inputs": [987654]})
    said = "model 'lookup' failed on this input; see the server's log"
    assert answer.status == 400 and answer.json() == {"error_code": "BAD_REQUEST", "message": said}
    assert ask(doubling, "/models/lookup/invoke", {"inputs": [1, 3]}).json() == {"predictions": [10.0, 30.0]}


def test_paths_and_methods_that_are_none(doubling: Running) -> None:
    answer = ask(doubling, "/models/unknown/invoke", {"inputs": ROWS})
    assert answer.status == 404 and answer.json()["error_code"] == "ENDPOINT_NOT_FOUND"
    for method in ("GET", "PUT", "DELETE"):
        answer = ask(doubling, "/invocations", method=method)
        assert answer.status == 405 and answer.json()["error_code"] == "BAD_REQUEST"
    assert ask(doubling, "/ping", b"", method="POST").status == 405


def test_no_default_model(server: Running) -> None:
    answer = ask(server, "/invocations", {"inputs": ROWS})
    assert answer.status == 404 and "--default" in answer.json()["message"]
    assert ask(server, "/models/double/invoke", {"inputs": ROWS}).json() == {"predictions": TWICE}
    assert ask(server, "/ping", method="GET").status == 200  # SageMaker's servers of many models have none at first


def test_health(doubling: Running) -> None:
    for path in ("/ping", "/health"):
        answer = ask(doubling, path, method="GET", kind="")
        assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"\n", JSON)
        assert ask(doubling, path, method="HEAD").status == 200
    assert ask(doubling, "/version", method="GET").body.decode() == gantline.__version__


def test_the_default_model_goes_and_comes(servers: Servers, zoo: Path) -> None:
    server = servers(zoo, default="double", model_control="explicit", load_model="double")
    assert ask(server, "/invocations", {"inputs": ROWS}).status == 200
    assert ask(server, "/v2/repository/models/double/unload", {}).status == 200
    answer = ask(server, "/invocations", {"inputs": ROWS})
    assert answer.status == 503 and answer.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
    answer = ask(server, "/ping", method="GET")
    assert answer.status == 503 and answer.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
    assert ask(server, "/v2/repository/models/double/load", {}).status == 200
    assert ask(server, "/invocations", {"inputs": ROWS}).json() == {"predictions": TWICE}
    assert ask(server, "/ping", method="GET").status == 200


def test_keys(servers: Servers, tmp_path: Path) -> None:
    keys = write_keys(tmp_path, key_table("lookup"))
    server = servers(default="double", keys=keys, keyless="health")
    body = {"inputs": ROWS}
    for path in ("/invocations", "/models/double/invoke", "/models/do%75ble/invoke"):
        answer = ask(server, path, body)
        assert answer.status == 401 and answer.json()["error_code"] == "UNAUTHENTICATED", path
        answer = ask(server, path, body, x_api_key=SOME)
        assert answer.status == 403 and answer.json()["error_code"] == "PERMISSION_DENIED", path
        assert ask(server, path, body, authorization=f"Bearer {SCORER}").json() == {"predictions": TWICE}
    assert ask(server, "/models/lookup/invoke", {"inputs": [1]}, x_api_key=SOME).status == 200
    assert ask(server, "/ping", method="GET").status == 200


SCRIPT = """
def init():
    pass

def run(data, request_headers):
    if data == "fail":
        raise ValueError("secret")
    return {"predictions": [data, request_headers["Content-Type"]]}
"""


def test_a_script_gets_bodies_as_they_are(servers: Servers, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "score.py").write_text(SCRIPT)
    gantline.package(code, name="script", output=tmp_path / "script.pkg")
    server = servers(tmp_path / "script.pkg")
    for path in ("/invocations", "/models/script/invoke"):
        answer = ask(server, path, b"a;b", "text/weird")
        assert answer.json() == {"predictions": ["a;b", "text/weird"]}
    answer = ask(server, "/invocations", b"fail")
    assert answer.status == 500 and set(answer.json()) == {"error_code", "message"}
    assert answer.json()["error_code"] == "INTERNAL_ERROR" and b"secret" not in answer.body
    answer = ask(server, "/invocations", b"\xff")
    assert answer.status == 400 and answer.json()["error_code"] == "BAD_REQUEST"
    assert ask(server, "/invocations", b"x", x_request_id="x" * 101).json()["error_code"] == "BAD_REQUEST"
