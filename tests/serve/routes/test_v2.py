"""The V2 face over HTTP: each endpoint's answer, and each wrong request's status and words."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import gantline

if TYPE_CHECKING:
    from tests.serve.conftest import Answer, Running

LOAD = "/v2/repository/models/double/load"
X = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}


def get(server: Running, path: str) -> Answer:
    (answer,) = server.ask(server.get(path))
    return answer


def post(server: Running, path: str, body: bytes | dict[str, Any] = b"", *headers: str) -> Answer:
    (answer,) = server.ask(server.post(path, body, *headers))
    return answer


@pytest.fixture
def own(servers: Callable[..., Running], zoo: Path, tmp_path: Path) -> Running:
    """A server over a Triton repository of the test's own: double in versions 1 and 2, lookup, and a broken one."""
    for name, version in (("double", 1), ("double", 2), ("lookup", 1)):
        folder = tmp_path / name / str(version)
        folder.mkdir(parents=True)
        shutil.copy(zoo / f"{name}.onnx", folder / "model.onnx")
    (tmp_path / "double" / "config.pbtxt").write_text("max_batch_size: 8\nversion_policy: { all { } }")
    (tmp_path / "broken" / "1").mkdir(parents=True)
    (tmp_path / "broken" / "1" / "model.onnx").write_bytes(b"no model")
    return servers(tmp_path)


# -- server and models


def test_health_and_metadata(server: Running) -> None:
    # Triton's are empty; KServe's client reads JSON
    assert get(server, "/v2/health/live").json() == {"live": True}
    assert get(server, "/v2/health/ready").json() == {"ready": True}
    for path in ("/v2/models/double/ready", "/v2/models/double/versions/1/ready"):
        answer = get(server, path)
        assert (answer.status, answer.body) == (200, b"") and answer.headers["content-type"].startswith("text/plain")
    found = get(server, "/v2").json()
    assert (found["name"], found["version"]) == ("gantline", gantline.__version__)
    assert {"binary_tensor_data", "classification", "statistics", "model_repository"} <= set(found["extensions"])
    for absent in ("trace", "system_shared_memory", "cuda_shared_memory"):
        assert absent not in found["extensions"]
        assert get(server, f"/v2/{absent}").status == 404


def test_model_metadata(server: Running) -> None:
    assert get(server, "/v2/models/double").json() == {
        "name": "double",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}],
    }


def test_config(own: Running) -> None:
    found = get(own, "/v2/models/double/versions/2/config").json()
    assert (found["name"], found["max_batch_size"]) == ("double", 8)
    assert found["input"][0]["dims"] == ["3"] or found["input"][0]["dims"] == [3]


def test_statistics(own: Running) -> None:
    for _ in range(3):
        assert post(own, "/v2/models/double/versions/1/infer", {"inputs": [X]}).status == 200
    assert post(own, "/v2/models/double/versions/1/infer", {"inputs": []}).status == 400
    assert [(m["name"], m["version"]) for m in get(own, "/v2/models/stats").json()["model_stats"]] == [
        ("double", "1"), ("double", "2"), ("lookup", "1"),
    ]  # fmt: skip
    one, two = get(own, "/v2/models/double/stats").json()["model_stats"]
    assert one["inference_stats"]["success"]["count"] == 3 and one["inference_stats"]["fail"]["count"] == 1
    assert one["inference_count"] == one["execution_count"] == 3 and two["inference_count"] == 0
    assert get(own, "/v2/models/double/versions/2/stats").json()["model_stats"] == [two]


def test_versions(own: Running) -> None:
    assert get(own, "/v2/models/double").json()["versions"] == ["1", "2"]
    for path, version in (("/v2/models/double/infer", "2"), ("/v2/models/double/versions/1/infer", "1")):
        assert post(own, path, {"inputs": [X]}).json()["model_version"] == version


@pytest.mark.parametrize("rest", ["", "/ready", "/config", "/stats"])
def test_models_and_versions_that_are_not_there(own: Running, rest: str) -> None:
    cases = {
        f"/v2/models/none{rest}": (404, "Request for unknown model: 'none' is not found"),
        f"/v2/models/double/versions/9{rest}": (404, "unknown model: 'double' version 9 is not found"),
        f"/v2/models/double/versions/x{rest}": (404, "Not Found"),
        f"/v2/models/double/versions/%C2%B2{rest}": (404, "Not Found"),
        f"/v2/models/double/versions/{'9' * 5000}{rest}": (404, "Request for unknown model: 'double'"),
        f"/v2/models/broken{rest}": (400 if rest == "/ready" else 503, "model 'broken' is not ready"),
    }
    for path, (status, said) in cases.items():
        answer = get(own, path)
        assert answer.status == status and said in answer.json()["error"], path


def test_infer_for_models_that_are_not_there(own: Running) -> None:
    for path, status, said in (
        ("/v2/models/none/infer", 404, "unknown model: 'none'"),
        ("/v2/models/double/versions/9/infer", 404, "version 9"),
        ("/v2/models/broken/infer", 503, "model 'broken' is not ready: "),
    ):
        answer = post(own, path, {"inputs": [X]})
        assert answer.status == status and said in answer.json()["error"]


# -- repository


def test_the_index(own: Running) -> None:
    index = {(row["name"], row.get("version")): row for row in post(own, "/v2/repository/index").json()}
    assert set(index) == {("double", "1"), ("double", "2"), ("lookup", "1"), ("broken", "1")}
    assert index["double", "2"] == {"name": "double", "version": "2", "state": "READY", "reason": ""}
    assert index["broken", "1"]["state"] == "UNAVAILABLE" and "model.onnx" in index["broken", "1"]["reason"]
    ready = post(own, "/v2/repository/index", {"ready": True}).json()
    assert {row["name"] for row in ready} == {"double", "lookup"}
    assert get(own, "/v2/repository/index").status == 405


def test_load_and_unload(own: Running, zoo: Path, tmp_path: Path) -> None:
    path = "/v2/repository/models/lookup"
    with own.connect() as s:  # a connection that stays open sees the change, too
        tensor = {"name": "x", "shape": [1], "datatype": "INT64", "data": [2]}
        infer = own.post("/v2/models/lookup/infer", {"inputs": [tensor]})
        for raw, status in (
            (infer, 200),
            (own.post(f"{path}/unload", {"parameters": {"unload_dependents": True}}), 200),
            (infer, 503),
            (own.get("/v2/models/lookup/ready"), 400),
            (own.post(f"{path}/unload", b""), 200),
            (own.post(f"{path}/load", b""), 200),
            (infer, 200),
            (own.post(f"{path}/load", b"{}"), 200),
            (infer, 200),
        ):
            s.sendall(raw)
            assert own.read_answer(s).status == status
    for verb in ("load", "unload"):
        answer = post(own, f"/v2/repository/models/none/{verb}")
        assert answer.status in (400, 404) and f"failed to {verb} 'none'" in answer.json()["error"]
        assert get(own, f"/v2/repository/models/none/{verb}").status == 405
    answer = post(own, "/v2/repository/models/broken/load")
    assert answer.status == 500
    assert answer.json()["error"].startswith(f"failed to load 'broken', {tmp_path.name}/broken/1/model.onnx: ")


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/v2/repository/index", b"[]", 400, "must be a JSON object"),
        ("/v2/repository/index", b"{", 400, "not JSON"),
        ("/v2/repository/index", b"\xff", 400, "not JSON"),
        ("/v2/repository/index", b"[" * 100_000, 413, "nested too deeply"),
        (LOAD, b"[]", 400, "must be a JSON object"),
        (LOAD, b'{"parameters": 5}', 400, '"parameters" must be an object'),
        (LOAD, b'{"parameters": [1]}', 400, '"parameters" must be an object'),
        (LOAD, b'{"parameters": {"files": "x"}}', 501, "'files' is not supported"),
        (
            LOAD,
            b'{"parameters": {"config": {}}}',
            400,
            "'config' must be a string of JSON",
        ),
        (LOAD, b'{"parameters": {"config": "{"}}', 400, "failed to load 'double', "),
        (LOAD, b'{"parameters": {"file:1/m": 5}}', 400, "must be a string of base64"),
        (
            LOAD,
            b'{"parameters": {"file:1/m": "AA=="}}',
            400,
            "files need parameter 'config'",
        ),
        (
            LOAD,
            b'{"parameters": {"config": "{}", "file:../../m": "AA=="}}',
            400,
            "file '../../m': expected a path inside",
        ),
        (
            LOAD,
            b'{"parameters": {"config": "{}", "file:1/model.onnx": "A"}}',
            400,
            "file '1/model.onnx' is not base64",
        ),
        (
            LOAD,
            b'{"parameters": {"config": "{}", "file:1/model.onnx": "AAAA"}}',
            400,
            "'double', double/1/model.onnx: onnx",
        ),
        ("/v2/repository/index", b'{"ready": 1}', 400, '"ready" must be true or false'),
        (LOAD, b'{"parameters": []}', 400, '"parameters" must be an object'),
        ("/v2/repository/models/double/unload", b'{"parameters": []}', 400, '"parameters" must be an object'),
        (
            "/v2/repository/models/double/unload",
            b'{"parameters": {"unload_dependents": "x"}}',
            400,
            '"unload_dependents" must be true or false',
        ),
        ("/v2/repository/models/double/unload", b"null", 400, "must be a JSON object"),
    ],
)
def test_wrong_words_to_the_repository(own: Running, path: str, body: bytes, status: int, said: str) -> None:
    answer = post(own, path, body)
    assert answer.status == status and said in answer.json()["error"]
    assert post(own, "/v2/models/double/infer", {"inputs": [X]}).status == 200


# -- every wrong request gets the right status and a message that a person can act on


def inputs(**changes: Any) -> bytes:
    return json.dumps({"inputs": [{**X, **changes}]}).encode()


WRONG: list[tuple[bytes, list[str], int, str]] = [
    (b'{"inputs": []}', [], 400, "input 'x' is missing; it takes 'x', got none"),
    (inputs(name="z"), [], 400, "input 'x' is missing; it takes 'x', got 'z'"),
    (json.dumps({"inputs": [X, {**X, "name": "z"}]}).encode(), [], 400, "unexpected input 'z'; it takes 'x'"),
    (json.dumps({"inputs": [X, X]}).encode(), [], 400, "input 'x' is given twice"),
    (inputs(datatype="INT64"), [], 400, "input 'x' has datatype INT64, expected FP32"),
    (inputs(datatype="FLOAT"), [], 400, "datatype 'FLOAT' is unknown"),
    (inputs(shape=[3, 1]), [], 400, "input 'x' has shape [3,1], expected [-1,3]"),
    (inputs(shape=[3]), [], 400, "input 'x' has shape [3], expected [-1,3]"),
    (inputs(shape=[2, 3]), [], 400, "shape [2, 3] needs 6 elements, data has 3"),
    (inputs(data=[1, 2]), [], 400, "needs 3 elements, data has 2"),
    (inputs(data=[[1, 2], [3]]), [], 400, "nested data does not have shape [1, 3]"),
    (inputs(data=["a", 1, 2]), [], 400, "must be numbers, found a string"),
    (inputs(data=[1e39, 1, 2]), [], 400, "outside FP32's range"),
    (json.dumps({"inputs": [X], "outputs": [{"name": "q"}]}).encode(), [], 400, "unexpected output 'q'; it gives 'y'"),
    (b"", [], 400, "the body is empty"),
    (b"{", [], 400, "the body is not JSON"),
    (b'{"inputs": "\xff"}', [], 400, "the body is not JSON"),
    (b"[" * 200_000, [], 413, "nested too deeply"),
    (b'{"inputs": ' + b"[" * 3_000_000, [], 413, "nested too deeply"),
    (
        inputs(),
        ["Inference-Header-Content-Length: 100000"],
        400,
        "Inference-Header-Content-Length is 100000, the body has",
    ),
    (inputs(), ["Inference-Header-Content-Length: 10"], 400, "the body is not JSON"),
    (inputs(), ["Inference-Header-Content-Length: ten"], 400, "expected a whole number"),
    (bytes(11), ["Inference-Header-Content-Length: 0"], 400, "needs 12 bytes, binary data has 11"),
    (bytes(13), ["Inference-Header-Content-Length: 0"], 400, "needs 12 bytes, binary data has 13"),
    (inputs(), ["Content-Encoding: gzip"], 400, "the gzip body is damaged"),
    (inputs(), ["Content-Encoding: br"], 501, "use gzip or deflate"),
]


@pytest.mark.parametrize(("body", "headers", "status", "said"), WRONG)
@pytest.mark.parametrize("path", ["/v2/models/double/infer", "/v2/models/doubl%65/infer"], ids=["hot", "slow"])
def test_wrong_requests(server: Running, path: str, body: bytes, headers: list[str], status: int, said: str) -> None:
    good = server.post(path, {"inputs": [X]})
    answers = server.ask(good + server.post(path, body, *headers) + good)
    assert [a.status for a in answers] == [200, status, 200]
    error = answers[1].json()
    assert set(error) == {"error"} and said in error["error"] and "\n" not in error["error"]
    assert answers[1].headers["content-type"] == "application/json"


@pytest.mark.parametrize(("size", "said"), [(11, "needs 12 bytes, binary data has 11"), (13, "12 bytes")])
def test_byte_counts_that_are_off_by_one(server: Running, size: int, said: str) -> None:
    for declared in (size, 12):
        tensor = {k: v for k, v in X.items() if k != "data"} | {"parameters": {"binary_data_size": declared}}
        head = json.dumps({"inputs": [tensor]}).encode()
        length = f"Inference-Header-Content-Length: {len(head)}"
        answer = post(server, "/v2/models/double/infer", head + bytes(size), length)
        assert answer.status == 400
        assert said in answer.json()["error"] or "unexpected" in answer.json()["error"]


def test_no_content_type_is_needed(server: Running) -> None:
    for kind in ("text/plain", "application/octet-stream", "application/x-www-form-urlencoded"):
        assert post(server, "/v2/models/double/infer", {"inputs": [X]}, f"Content-Type: {kind}").status == 200


def test_a_full_queue_is_answered_503_and_empties(servers: Callable[..., Running], zoo: Path) -> None:
    server = servers(zoo / "double.onnx", max_queue_rows=1)
    sockets = [server.connect() for _ in range(20)]
    raw = server.post("/v2/models/double/infer", {"inputs": [X]})

    def send() -> None:
        for s in sockets:
            s.sendall(raw)

    server.on_loop(send)  # while the loop is busy with this, all arrive
    found = [server.read_answer(s) for s in sockets]
    for s in sockets:
        s.close()
    assert {a.status for a in found} == {200, 503}
    assert all("try again later" in a.json()["error"] for a in found if a.status == 503)
    assert post(server, "/v2/models/double/infer", {"inputs": [X]}).status == 200


def test_the_engine_s_own_failure_is_500(server: Running) -> None:
    tensor = {"name": "x", "shape": [1], "datatype": "INT64", "data": [99]}
    answer = post(server, "/v2/models/lookup/infer", {"inputs": [tensor]})
    assert answer.status == 500 and "99" in answer.json()["error"]
