"""Which models are in memory, for people who ask over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.serve.conftest import Running


def test_models_in_memory(servers: Callable[..., Running]) -> None:
    server = servers(load="on-demand", memory="1GiB")
    (answer,) = server.ask(server.get("/v2/repository/memory"))
    assert answer.status == 200
    assert answer.json() == {"limit_bytes": 1 << 30, "bytes": 0, "known": 5, "workers": [[]]}
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}
    assert server.ask(server.post("/v2/models/double/infer", body))[0].status == 200
    (rows,) = server.ask(server.get("/v2/repository/memory"))[0].json()["workers"]
    assert [(r["name"], r["state"], r["pinned"]) for r in rows] == [("double", "idle", False)]
    assert 0 <= rows[0]["unused_s"] < 60 and rows[0]["bytes"] > rows[0]["file_bytes"] > 0


def test_a_server_that_has_loaded_everything(server: Running) -> None:
    (answer,) = server.ask(server.get("/v2/repository/memory"))
    assert answer.status == 501 and "see --load on-demand" in answer.json()["error"]
