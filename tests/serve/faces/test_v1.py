"""V1 on the hot road over real sockets: rows, columns, limits, deadlines, forms, and each error as one line."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import gantline

if TYPE_CHECKING:
    from tests.serve.conftest import Answer, Running

PREDICT = "/v1/models/double:predict"
SCRIPT = """
import numpy as np
INPUTS = {"age": ("INT64", [-1, 1]), "town": ("BYTES", [-1])}
OUTPUTS = {"next": ("INT64", [-1, 1]), "town": ("BYTES", [-1]), "town_bytes": ("BYTES", [-1])}

def infer(inputs):
    return {"next": inputs["age"] + 1, "town": inputs["town"], "town_bytes": inputs["town"]}
"""
AZURE = "def init():\n    pass\n\ndef run(raw_data):\n    return 1\n"


def post(server: Running, body: bytes | dict[str, Any], *headers: str, path: str = PREDICT) -> Answer:
    (answer,) = server.ask(server.post(path, body, *headers))
    return answer


@pytest.fixture(scope="module")
def scripts(servers: Callable[..., Running], tmp_path_factory: pytest.TempPathFactory) -> Running:
    folder = tmp_path_factory.mktemp("scripts")
    for name, text in (("table", SCRIPT), ("azure", AZURE)):
        (folder / name).mkdir()
        (folder / name / "score.py").write_text(text)
        gantline.package(script=folder / name / "score.py", name=name, output=folder / f"{name}.pkg")
    return servers(folder / "table.pkg", folder / "azure.pkg")


def test_rows_and_columns(server: Running) -> None:
    for path in (PREDICT, "/v1/models/double/versions/1:predict", "/v1/models/%64ouble%3Apredict"):
        answer = post(server, {"instances": [[1, 2, 3]]}, path=path)
        assert (answer.status, answer.body) == (200, b'{"predictions":[[2.0,4.0,6.0]]}')
        assert answer.headers["content-type"] == "application/json"
    assert post(server, {"inputs": {"x": [[1, 2, 3]]}}).json() == {"outputs": [[2, 4, 6]]}
    assert post(server, b'{"instances":[[NaN,Infinity,1]]}').body == b'{"predictions":[[NaN,Infinity,2.0]]}'


def test_it_is_on_the_hot_road_while_the_model_is_loaded(server: Running) -> None:
    front = server.stack.front
    assert front.handler(PREDICT.encode()) is not None and front.handler(b"/v1/models/double:explain") is None
    with server.connect() as s:  # a connection of its own, so that the short ways are taken
        for i in range(20):
            s.sendall(server.post(PREDICT, {"instances": [[i + 0.5, 2, 3]]}))
            assert server.read_answer(s).json() == {"predictions": [[2 * i + 1, 4, 6]]}
            s.sendall(server.post(PREDICT, {"inputs": [[i + 0.5, 2, 3]]}))
            assert server.read_answer(s).json() == {"outputs": [[2 * i + 1, 4, 6]]}
    model = server.stack.repository.find("double")
    assert model.other_forms["v1", ""].like is not None
    model.other_forms.clear()
    for word, answered in (("inputs", "outputs"), ("instances", "predictions")):
        for _ in range(3):  # a form of either format is another's
            assert post(server, {word: [[1, 2, 3]]}).json() == {answered: [[2, 4, 6]]}


def test_large_and_compressed_bodies(server: Running) -> None:
    rows = np.arange(60_000, dtype=np.float32).reshape(-1, 3)
    body = json.dumps({"instances": rows.tolist()}).encode()
    wanted = {"predictions": (rows * 2).tolist()}
    assert post(server, body).json() == wanted
    packed = post(server, gzip.compress(body), "Content-Encoding: gzip", "Accept-Encoding: gzip")
    assert packed.headers["content-encoding"] == "gzip" and json.loads(gzip.decompress(packed.body)) == wanted


def test_wishes_and_limits_hold(server: Running, servers: Callable[..., Running]) -> None:
    answer = post(server, {"instances": [[1, 2, 3]]}, "x-gantline-timeout-ms: 0.0001")
    assert answer.status == 504 and "deadline" in answer.json()["error"]
    small = servers(max_body_bytes=100)
    answer = post(small, {"instances": [[1, 2, 3]] * 20})
    assert answer.status == 413 and answer.json() == {"error": "the body is larger than 100 bytes"}


def test_a_table_of_a_script(scripts: Running) -> None:
    rows = [{"age": 3, "town": "a"}, {"age": [4], "town": {"b64": "/w=="}}]
    assert post(scripts, {"instances": rows[:1]}, path="/v1/models/table:predict").json() == {
        "predictions": [{"next": [4], "town": "a", "town_bytes": {"b64": "YQ=="}}]
    }
    answer = post(scripts, {"instances": rows}, path="/v1/models/table:predict")
    assert answer.status == 400 and "input 'age'" in answer.json()["error"]
    columns = {"age": [[3], [4]], "town": ["a", {"b64": "/w=="}]}
    answer = post(scripts, {"inputs": columns}, path="/v1/models/table:predict")
    assert answer.json()["outputs"]["town"] == ["a", {"b64": "/w=="}] and answer.json()["outputs"]["next"] == [[4], [5]]


def test_a_script_without_tensors_says_where_it_is_asked(scripts: Running) -> None:
    answer = post(scripts, {"instances": [1]}, path="/v1/models/azure:predict")
    assert answer.status == 501
    assert answer.json() == {
        "error": "model 'azure' is a script that declares no tensors: ask it by /models/azure/score"
    }


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400), (b"{", 400), (b"[]", 400), (b"\xff\xfe", 400), (b'{"instances":[[1,2]]}', 400),
        (b'{"instances":[["a",1,2]]}', 400), (b'{"instances":[[1,2,3]],"inputs":1}', 400),
        (b'{"instances":[[1,2,3]],"signature_name":"x"}', 400), (b'{"instances":' + b"[" * 3000 + b"}", 413),
    ],
)  # fmt: skip
def test_bad_bodies(server: Running, body: bytes, status: int) -> None:
    answer = post(server, body)
    assert answer.status == status and list(answer.json()) == ["error"] and "\n" not in answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/v1/models/none:predict", "unknown model: 'none'"),
        ("/v1/models/double/versions/7:predict", "version 7 is not found"),
        ("/v1/models/double/versions/x:predict", "Not Found"),
        ("/v1/models/double/labels/stable:predict", "has no label 'stable'"),
        ("/v1/models/double:nothing", "Method Not Allowed"),
        ("/v1/models/double/predict", "Not Found"),
    ],
)
def test_bad_paths(server: Running, path: str, said: str) -> None:
    answer = post(server, {"instances": [[1, 2, 3]]}, path=path)
    assert answer.status in (404, 405) and said in answer.json()["error"]


MARKS = ("ce-specversion: 1.0", "ce-id: 7", "ce-source: here", "ce-type: t")


def test_events_are_answered_by_events(server: Running) -> None:
    """Plain requests and events of both modes take turns on one connection, and are not taken for each other."""
    plain = {"instances": [[1.5, 2, 3]]}
    event = {"specversion": "1.0", "id": "7", "source": "here", "type": "t", "data": plain}
    with server.connect() as s:
        for _ in range(3):
            s.sendall(server.post(PREDICT, plain))
            answer = server.read_answer(s)
            assert answer.json() == {"predictions": [[3, 4, 6]]} and not any(
                h.startswith("ce-") for h in answer.headers
            )
            s.sendall(server.post(PREDICT, plain, *MARKS))
            answer = server.read_answer(s)
            assert answer.json() == {"predictions": [[3, 4, 6]]} and answer.headers["ce-specversion"] == "1.0"
            assert answer.headers["ce-source"] == "io.kserve.inference.double" and answer.headers["ce-id"] != "7"
            s.sendall(server.post(PREDICT, event, "Content-Type: application/cloudevents+json"))
            answer = server.read_answer(s)
            assert answer.headers["content-type"] == "application/cloudevents+json"
            assert answer.json()["data"] == {"predictions": [[3, 4, 6]]} and answer.json()["specversion"] == "1.0"


@pytest.mark.parametrize(
    ("headers", "body", "status", "said"),
    [
        (("Content-Type: application/cloudevents+json",), b'{"instances":[[1,2,3]]}', 400, 'no "specversion"'),
        (("Content-Type: application/cloudevents-batch+json",), b"[]", 501, "one at a time"),
        (("ce-specversion: 9", *MARKS[1:]), b'{"instances":[[1,2,3]]}', 400, "specversion"),
        (MARKS, b"", 400, "empty"),
        (MARKS, b'{"instances":[[1,2]]}', 400, "input 'x'"),
    ],
)
def test_events_that_are_refused(
    server: Running, headers: tuple[str, ...], body: bytes, status: int, said: str
) -> None:
    answer = post(server, body, *headers)
    assert answer.status == status and list(answer.json()) == ["error"] and said in answer.json()["error"]


def test_marks_that_make_no_event(server: Running) -> None:
    answer = post(server, {"instances": [[1, 2, 3]]}, *MARKS[:3])
    assert answer.status == 200 and "ce-id" not in answer.headers
