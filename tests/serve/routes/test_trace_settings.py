"""The trace endpoints over a real socket, and the file that real requests leave behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.serve.conftest import Running

BODY = {"id": "mine", "inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}


def test_requests_are_traced(servers: Callable[..., Running], zoo: Path, tmp_path: Path) -> None:
    server = servers(zoo / "double.onnx", zoo / "lookup.onnx", trace_dir=tmp_path)

    def post(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        (answer,) = server.ask(server.post(path, body))
        return answer.status, answer.json()

    (answer,) = server.ask(server.get("/v2/trace/setting"))
    start = answer.json()
    assert start["trace_level"] == ["OFF"]
    status, found = post("/v2/models/double/trace/setting", {"trace_level": ["TIMESTAMPS"], "trace_rate": "1"})
    assert (status, found) == (200, start | {"trace_level": ["TIMESTAMPS"], "trace_rate": "1"})
    for _ in range(3):
        assert post("/v2/models/double/infer", BODY)[0] == 200
    post("/v2/models/lookup/infer", {"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [1]}]})
    (answer,) = server.ask(server.get("/v2/models/lookup/trace/setting"))
    assert answer.json() == start
    assert post("/v2/models/double/trace/setting", {"trace_rate": "no"})[0] == 400
    assert post("/v2/models/nope/trace/setting", {})[0] == 404
    assert not list(tmp_path.iterdir())
    server.stop()
    server.wait()
    entries = json.loads((tmp_path / "trace.json").read_text())
    assert [e["model_name"] for e in entries if "model_name" in e] == ["double"] * 3
    for entry in entries[1::2]:
        times = [t["ns"] for t in entry["timestamps"]]
        assert len(times) == 7 and times == sorted(times) and times[0] > 0
