"""Following the disk with models loaded on demand: what lies there is known anew, and loaded when asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.serve.conftest import Running, Scaler

BODY = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}


def test_changes(servers: Callable[..., Running], scaler: Scaler, tmp_path: Path) -> None:
    for name, factor in (("cold", 1), ("warm", 1), ("gone", 1)):
        scaler(tmp_path / f"{name}/1/model.onnx", factor)
    server = servers(tmp_path, load="on-demand", model_control="poll")

    def infer(name: str) -> Any:
        (answer,) = server.ask(server.post(f"/v2/models/{name}/infer", BODY))
        return answer.json()["outputs"][0]["data"] if answer.status == 200 else answer.status

    def look() -> list[str]:
        assert server.stack.poller is not None
        for _ in range(2):
            asyncio.run_coroutine_threadsafe(server.stack.poller.look(), server.loop).result(60)
        return server.on_loop(lambda: sorted(name for name, _ in server.stack.repository.resident()))

    assert infer("warm") == [1, 2, 3] and look() == ["warm"]
    for name, version, factor in (("cold", 2, 5), ("warm", 2, 7), ("new", 1, 9)):
        scaler(tmp_path / f"{name}/{version}/model.onnx", factor)
    (tmp_path / "gone/1/model.onnx").unlink()
    (tmp_path / "gone/1").rmdir()
    (tmp_path / "gone").rmdir()
    assert look() == ["warm"], "what is loaded is loaded anew, and nothing else"
    assert infer("warm") == [7, 14, 21] and infer("cold") == [5, 10, 15] and infer("new") == [9, 18, 27]
    assert infer("gone") == 404
