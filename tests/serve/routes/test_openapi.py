"""GET /openapi.json over a socket: what is loaded, what a key may see, and no more than fits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from gantline.serve.routes import openapi

from tests.serve.key_table import BOSS, SOME, key_table, write_keys

if TYPE_CHECKING:
    from tests.serve.conftest import Running


def document(server: Running, query: str = "", *headers: str) -> Any:
    (answer,) = server.ask(server.get(f"/openapi.json{query}", *headers))
    assert answer.status == 200 and answer.headers["content-type"] == "application/json", answer
    return answer.json()


def test_what_is_loaded_is_described(server: Running) -> None:
    found = document(server)
    assert found["openapi"] == "3.1.0"
    (one,) = found["paths"]["/v2/models/double/infer"]["post"]["requestBody"]["content"]["application/json"]["example"][
        "inputs"
    ]
    assert one == {"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [0.0, 0.0, 0.0]}
    assert set(document(server, "?model=double")["paths"]) < set(found["paths"])


def test_an_example_is_answered(server: Running) -> None:
    paths = document(server)["paths"]
    asked = [p for p in paths if p.startswith("/v2/models/") and paths[p].get("post", {}).get("x-gantline-asks")]
    assert len(asked) >= 3 * 5
    for path in asked:
        body = paths[path]["post"]["requestBody"]["content"]["application/json"]["example"]
        (answer,) = server.ask(server.post(path, body))
        assert answer.status == 200, (path, answer.body)


def test_an_unknown_model(server: Running) -> None:
    (answer,) = server.ask(server.get("/openapi.json?model=none"))
    assert answer.status == 404 and answer.json()["error"] == "Request for unknown model: 'none' is not found"


def test_a_key_sees_its_own_models(servers: Callable[..., Running], zoo: Path, tmp_path: Path) -> None:
    server = servers(zoo, keys=write_keys(tmp_path, key_table("double")))
    assert server.ask(server.get("/openapi.json"))[0].status == 401
    mine = document(server, "", f"x-api-key: {SOME}")
    assert "/v2/models/double/infer" in mine["paths"] and "centre" not in str(mine)
    assert "/v2/models/centre/infer" in document(server, "", f"x-api-key: {BOSS}")["paths"]
    (answer,) = server.ask(server.get("/openapi.json?model=centre", f"x-api-key: {SOME}"))
    assert answer.status == 404  # as if there were none
    operation = mine["paths"]["/v2/models/double/infer"]["post"]
    assert operation["security"] and "security" not in mine["paths"]["/v2/health/live"]["get"]


def test_many_models_do_not_make_megabytes(
    servers: Callable[..., Running], zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openapi, "MAX_VERSIONS", 2)
    found = document(servers(zoo))
    assert "2 of 5 models" in found["info"]["description"]
    assert sum(path.endswith("/infer") and "{" not in path for path in found["paths"]) == 2


def test_it_can_be_left_out(servers: Callable[..., Running], zoo: Path) -> None:
    server = servers(zoo / "double.onnx", no_docs="true", no_metrics="true")
    for path in ("/openapi.json", "/docs", "/docs/models"):
        assert server.ask(server.get(path))[0].status == 404
