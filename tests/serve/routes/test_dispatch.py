"""GET /v2/models/{name}/dispatch, for people."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.serve.conftest import Running

X = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}


def test_it_tells_reasons_and_times(servers: Callable[..., Running], zoo: Path) -> None:
    server = servers(zoo / "double.onnx")
    infer = server.post("/v2/models/double/infer", {"inputs": [X]})
    assert server.ask(infer)[0].status == 200
    for path in ("/v2/models/double/dispatch", "/v2/models/double/versions/1/dispatch"):
        (answer,) = server.ask(server.get(path))
        found = answer.json()
        assert answer.status == 200 and found["reasons"] == {"idle": 1}
        assert found["durations"]["compute"]["count"] == 1 and found["durations"]["compute"]["p99_ms"] > 0
        (last,) = found["workers"][0]["last"]
        assert (last["reason"], last["rows"], last["requests"], last["waiting_rows"]) == ("idle", 1, 1, 1)


def test_errors_are_as_elsewhere(server: Running) -> None:
    for path, status in (
        ("/v2/models/none/dispatch", 404),
        ("/v2/models/double/versions/9/dispatch", 404),
        ("/v2/models/double/versions/x/dispatch", 404),
    ):
        (answer,) = server.ask(server.get(path))
        assert answer.status == status and answer.json()["error"]
    (answer,) = server.ask(server.post("/v2/models/double/dispatch", b""))
    assert answer.status == 405
