"""/score over real HTTP: streams, deaths, limits, several scripts. What Azure's server does too is in conformance/."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import gantline

SCRIPT = """
import ctypes, json, os, time

def init():
    pass

def run(data, request_headers):
    told = json.loads(data) if data else {}
    if "stream" in told:
        return pieces(told["stream"])
    if "until" in told:
        open(told["until"] + ".begun", "w").close()
        while not os.path.exists(told["until"]):
            time.sleep(0.01)
        return "went"
    if "die" in told:
        ctypes.string_at(0)
    if "size" in told:
        return "x" * told["size"]
    if "who" in told:
        return request_headers["X-Who"]
    return {"pid": os.getpid()}

def pieces(n):
    try:
        for i in range(n):
            yield {"i": i, "pad": "x" * 1000}
    finally:
        open(os.path.join(os.environ["MARKS"], f"closed-{n}"), "w").close()
"""


@pytest.fixture(scope="module")
def marks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("marks")


@pytest.fixture(scope="module")
def url(serving: object, marks: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("scripts")
    for name in ("one", "two words"):
        code = root / f"{name} code"
        code.mkdir()
        (code / "score.py").write_text(f"import os\nos.environ['MARKS'] = {str(marks)!r}\n{SCRIPT}")
    gantline.package(root / "one code", name="one", output=root / "one.pkg")
    gantline.package(root / "two words code", name="two.words", output=root / "two.pkg")
    context: AbstractContextManager[str] = serving(root / "one.pkg", root / "two.pkg", "--default", "one")  # type: ignore[operator]
    with context as found:
        yield found


def connect(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)


def post(url: str, body: object, path: str = "/score", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = connect(url)
    try:
        connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def test_each_script_has_its_own_path_and_process(url: str) -> None:
    paths = ("/score", "/models/one/score", "/models/two.words/score")
    pids = [json.loads(post(url, {}, path)[2])["pid"] for path in paths]
    assert pids[0] == pids[1] != pids[2]
    assert post(url, {}, "/models/two%2Ewords/score")[0] == 200
    status, _, body = post(url, {}, "/models/three/score")
    assert status == 404 and "not found" in json.loads(body)["message"]


def test_headers_reach_the_script(url: str) -> None:
    assert post(url, {"who": 1}, **{"x-who": "me"})[2] == b'"me"'


def test_a_stream_is_chunked_and_complete(url: str) -> None:
    status, headers, body = post(url, {"stream": 2000}, **{"x-request-id": "mine"})
    assert status == 200 and headers["transfer-encoding"] == "chunked"
    assert headers["content-type"] == "application/x-ndjson" and headers["x-request-id"] == "mine"
    assert [json.loads(line)["i"] for line in body.splitlines()] == list(range(2000))


def test_a_client_that_leaves_a_stream_closes_the_generator(url: str, marks: Path) -> None:
    connection = connect(url)
    connection.request("POST", "/score", json.dumps({"stream": 10**8}))
    answer = connection.getresponse()
    assert answer.read(10_000)
    connection.close()
    wait_for(marks / f"closed-{10**8}")
    assert post(url, {})[0] == 200


def test_a_death_is_a_500_of_the_script_and_nothing_else(url: str) -> None:
    status, headers, body = post(url, {"die": 1})
    assert (status, headers["x-ms-run-function-failed"]) == (500, "True")
    assert json.loads(body)["message"].startswith("An unexpected error occurred in scoring script.")
    assert post(url, {})[0] == 200
    assert post(url, {}, "/models/two.words/score")[0] == 200


def test_unloading_answers_what_was_accepted(url: str, marks: Path) -> None:
    results: list[tuple[int, bytes]] = []

    def slow() -> None:
        status, _, body = post(url, {"until": str(marks / "go")}, "/models/two.words/score")
        results.append((status, body))

    client = threading.Thread(target=slow)
    client.start()
    wait_for(marks / "go.begun")
    unloading = threading.Thread(target=post, args=(url, {}, "/v2/repository/models/two.words/unload"))
    unloading.start()
    while swagger(url, "two.words") != 404:  # until no new one is taken
        time.sleep(0.01)
    (marks / "go").touch()
    for thread in (client, unloading):
        thread.join(20)
    assert results == [(200, b'"went"')]
    assert post(url, {}, "/v2/repository/models/two.words/load")[0] == 200
    assert post(url, {}, "/models/two.words/score")[0] == 200


def test_large_answers_and_bodies(url: str) -> None:
    assert len(post(url, {"size": 20_000_000})[2]) == 20_000_002
    assert post(url, {"pad": "x" * 20_000_000})[0] == 200


def test_home_and_what_nothing_answers(url: str) -> None:
    connection = connect(url)
    expected = (("GET", "/", 200), ("GET", "/nope", 404), ("PUT", "/score", 405), ("GET", "/v2/nope", 404))
    for method, path, status in expected:
        connection.request(method, path)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == status
        if path == "/v2/nope":
            assert "error" in json.loads(body)
        elif status != 200:
            assert "message" in json.loads(body)
    connection.close()


def test_the_script_is_a_v2_model_too_and_counts(url: str) -> None:
    status, _, body = post(url, v2("{}", '{"size": 3}'), "/v2/models/one/infer")
    (output,) = json.loads(body)["outputs"]
    assert status == 200 and output["shape"] == [2] and output["data"][1] == '"xxx"'
    status, _, body = post(url, v2("["), "/v2/models/one/infer")
    assert status == 500 and "the log has the traceback" in json.loads(body)["error"]
    connection = connect(url)
    connection.request("GET", "/v2/models/one/stats")
    (stats,) = json.loads(connection.getresponse().read())["model_stats"]
    connection.close()
    assert stats["inference_stats"]["success"]["count"] > 3 and stats["inference_stats"]["fail"]["count"] > 0


def swagger(url: str, name: str) -> int:
    connection = connect(url)
    try:
        connection.request("GET", f"/models/{name}/swagger.json")
        return connection.getresponse().status
    finally:
        connection.close()


def v2(*data: str) -> dict[str, object]:
    return {"inputs": [{"name": "data", "datatype": "BYTES", "shape": [len(data)], "data": data}]}


def wait_for(path: Path) -> None:
    end = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < end, f"{path.name} did not happen"
        time.sleep(0.01)
