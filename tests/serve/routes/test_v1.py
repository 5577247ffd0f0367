"""V1 beside predict: what clients of TensorFlow Serving and of KServe read of a server, over real sockets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.serve.key_table import SOME, key_table, write_keys

if TYPE_CHECKING:
    from tests.serve.conftest import Answer, Running


def get(server: Running, path: str, *headers: str) -> Answer:
    (answer,) = server.ask(server.get(path, *headers))
    return answer


def post(server: Running, path: str, body: Any = None) -> Answer:
    (answer,) = server.ask(server.post(path, {} if body is None else body))
    return answer


def test_models(server: Running) -> None:
    assert {"double", "lookup"} <= set(get(server, "/v1/models").json()["models"])


def test_status_has_what_both_read(server: Running) -> None:
    version = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    wanted = {"name": "double", "ready": True, "model_version_status": [version]}
    for path in ("/v1/models/double", "/v1/models/double/versions/1"):
        answer = get(server, path)
        assert (answer.status, answer.json()) == (200, wanted)
    for path in ("/v1/models/none", "/v1/models/double/versions/7", "/v1/models/double/versions/x"):
        answer = get(server, path)
        assert answer.status == 404 and list(answer.json()) == ["error"]
    for path in ("/v1/models/double/labels/a", "/v1/models/double/labels/a/metadata"):
        assert "no label 'a'" in get(server, path).json()["error"]


def test_what_is_not_loaded_is_not_ready(servers: Callable[..., Running]) -> None:
    server = servers(model_control="explicit")
    answer = get(server, "/v1/models/double")
    found = answer.json()
    assert answer.status == 503 and not found["ready"] and "not ready" in found["error"]
    assert found["model_version_status"][0]["state"] == "END"
    assert post(server, "/v1/models/double:predict", {"instances": [[1, 2, 3]]}).status == 503
    assert post(server, "/v2/repository/models/double/load").status == 200
    assert get(server, "/v1/models/double").status == 200
    assert post(server, "/v1/models/double:predict", {"instances": [[1, 2, 3]]}).json() == {"predictions": [[2, 4, 6]]}
    assert post(server, "/v2/repository/models/double/unload").status == 200
    assert server.stack.front.handler(b"/v1/models/double:predict") is None


def test_metadata(server: Running) -> None:
    found = get(server, "/v1/models/double/metadata").json()
    assert found["model_spec"] == {"name": "double", "signature_name": "", "version": "1"}
    signature = found["metadata"]["signature_def"]["signature_def"]["serving_default"]
    shape = {"dim": [{"size": "-1", "name": ""}, {"size": "3", "name": ""}], "unknown_rank": False}
    assert signature["inputs"] == {"x": {"dtype": "DT_FLOAT", "tensor_shape": shape, "name": "x"}}
    assert signature["outputs"]["y"]["dtype"] == "DT_FLOAT"
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert get(server, "/v1/models/double/versions/1/metadata").json() == found
    assert get(server, "/v1/models/none/metadata").status == 404


@pytest.mark.parametrize(
    ("verb", "said"),
    [("explain", "has no explainer"), ("classify", "takes tensors, no Examples"), ("regress", "no Examples")],
)
def test_what_is_not_done_says_so(server: Running, verb: str, said: str) -> None:
    answer = post(server, f"/v1/models/double:{verb}", {"instances": [[1, 2, 3]]})
    assert answer.status == 501 and said in answer.json()["error"] and ":predict" in answer.json()["error"]
    assert post(server, f"/v1/models/none:{verb}").status == 404


def test_home_is_alive(server: Running) -> None:
    assert get(server, "/").json()["status"] == "alive"


def test_keys_hold(servers: Callable[..., Running], tmp_path: Path) -> None:
    server = servers(keys=write_keys(tmp_path, key_table("double")))
    some = f"x-api-key: {SOME}"
    predict, body = "/v1/models/{}:predict", {"instances": [[1, 2, 3]]}
    for key, wanted in ((None, (401, 401, 401, 401)), (some, (200, 403, 200, 403))):
        more = [key] if key else []
        asked = server.get("/v1/models/double/metadata", *more) + server.get("/v1/models", *more)
        asked += server.post(predict.format("double"), body, *more)
        answers = server.ask(asked)
        answers += server.ask(server.post(predict.format("lookup"), {"instances": [1]}, *more))
        assert tuple(a.status for a in answers) == wanted[: len(answers)]
        assert all(list(a.json()) == ["error"] for a in answers if a.status > 400)
    for odd in ("/v1/models/lookup%3Apredict", "/v1/models/%6cookup:predict", "/v1/models/lookup/versions/1:predict"):
        (answer,) = server.ask(server.post(odd, {"instances": [1]}, some))
        assert answer.status == 403
