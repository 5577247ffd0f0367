"""What --model-control allows, what explicit loads at start, and which version answers where several serve."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gantline.errors import UsageError
from gantline.settings import ServeSettings, resolve

if TYPE_CHECKING:
    from tests.serve.conftest import Answer, Running, Scaler

X = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}
NOT_ALLOWED = "explicit model load / unload is not allowed if polling is enabled"


@pytest.fixture
def models(scaler: Scaler, tmp_path: Path) -> Path:
    """Models `a` (version 1) and `b` (versions 1 to 3), each x times its version."""
    scaler(tmp_path / "models/a/1/model.onnx", 1)
    for version in (1, 2, 3):
        scaler(tmp_path / f"models/b/{version}/model.onnx", version)
    return tmp_path / "models"


def post(server: Running, path: str, body: Any = b"") -> Answer:
    (answer,) = server.ask(server.post(path, body))
    return answer


def factor(server: Running, path: str) -> Any:
    answer = post(server, f"/v2/models/{path}/infer", {"inputs": [X]})
    return answer.json()["outputs"][0]["data"][0] if answer.status == 200 else answer.status


def ready(server: Running) -> list[str]:
    return [f"{m['name']}:{m['version']}" for m in post(server, "/v2/repository/index", {"ready": True}).json()]


@pytest.mark.parametrize("mode", ["none", "poll"])
def test_where_models_come_from_the_disk_alone(servers: Callable[..., Running], models: Path, mode: str) -> None:
    server = servers(models, model_control=mode)
    assert ready(server) == ["a:1", "b:3"]
    for verb in ("load", "unload"):
        answer = post(server, f"/v2/repository/models/a/{verb}")
        assert answer.status == 503 and answer.json() == {"error": NOT_ALLOWED}
    assert factor(server, "a") == 1


@pytest.mark.parametrize(
    ("wanted", "there"), [("", []), ("b", ["b:3"]), ("a, b", ["a:1", "b:3"]), ("*", ["a:1", "b:3"])]
)
def test_explicit_loads_what_it_is_told_to(
    servers: Callable[..., Running], models: Path, wanted: str, there: list[str]
) -> None:
    server = servers(models, model_control="explicit", load_model=wanted)
    assert ready(server) == there
    (health,) = server.ask(server.get("/v2/health/ready"))
    assert health.status == 200
    index = post(server, "/v2/repository/index").json()
    assert [m["name"] for m in index] == ["a", "b"] and ("state" in index[0]) == ("a:1" in there)
    assert factor(server, "a") == (1 if "a:1" in there else 503)
    assert post(server, "/v2/repository/models/a/load").status == 200 and factor(server, "a") == 1
    assert post(server, "/v2/repository/models/a/unload").status == 200 and factor(server, "a") == 503


def test_models_to_load_are_checked(servers: Callable[..., Running], models: Path) -> None:
    with pytest.raises(UsageError, match="load_model 'bb': no such model in what is served; did you mean 'b'"):
        servers(models, model_control="explicit", load_model="a,bb")
    with pytest.raises(UsageError, match="load_model needs --model-control explicit"):
        resolve(ServeSettings, {"load_model": "a"}, {})


def test_versions_and_a_pin(servers: Callable[..., Running], models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(models.parent)
    Path("gantline.toml").write_text('[model.b]\nversions = "latest:2"\ndefault_version = 1\n')
    server = servers(models)
    assert ready(server) == ["a:1", "b:1", "b:2", "b:3"]
    assert [factor(server, p) for p in ("b", "b/versions/1", "b/versions/2", "b/versions/3")] == [1, 1, 2, 3]
    assert [factor(server, f"b/versions/{v}") for v in ("4", "x")] == [404, 404]
    answer = server.ask(server.get("/v2/models/b"))[0].json()
    assert answer["versions"] == ["1", "2", "3"]
    said = [server.ask(server.get(f"/v2/models/{m}/config"))[0].json()["version_policy"] for m in "ab"]
    assert said == [{"latest": {"num_versions": 1}}, {"latest": {"num_versions": 2}}]
    other = servers(models, versions="2,3")
    assert ready(other) == ["b:1", "b:2", "b:3"], "and of model a nothing: it has no such version"
    reason = next(m["reason"] for m in post(other, "/v2/repository/index").json() if m["name"] == "a")
    assert reason == "models/a: versions '2,3' serves none of the versions 1"


def test_what_is_wrong_with_a_load_is_its_senders_or_the_disks(servers: Callable[..., Running], models: Path) -> None:
    server = servers(models)
    for config, words in (
        ("not json", "the configuration given for "),
        ('{"max_batch_sizes": 1}', "max_batch_sizes"),
        ('{"max_batch_size": -5}', "expected 0 or more"),
        ('{"backend": "tensorrt"}', "backend 'tensorrt' is not supported"),
        ('{"version_policy": {"specific": {"versions": [9]}}}', "versions '9' serves none"),
    ):
        answer = post(server, "/v2/repository/models/a/load", {"parameters": {"config": config}})
        assert answer.status == 400 and words in answer.json()["error"]
        assert answer.json()["error"].startswith("failed to load 'a', ")
    files = {"config": "{}", "file:1/model.onnx": "aGVsbG8="}  # base64, of what is no model
    assert post(server, "/v2/repository/models/a/load", {"parameters": files}).status == 400
    (models / "a/1/model.onnx").write_bytes(b"damaged")
    assert post(server, "/v2/repository/models/a/load").status == 500
    assert factor(server, "a") == 1
