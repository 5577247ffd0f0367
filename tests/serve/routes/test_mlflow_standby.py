"""MLflow's, SageMaker's and V1's faces, of models that their first request loads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gantline

if TYPE_CHECKING:
    from tests.serve.conftest import Answer, Running

ROWS: dict[str, Any] = {"instances": [[1, 2, 3]]}


def one(server: Running, raw: bytes) -> Answer:
    (answer,) = server.ask(raw)
    return answer


def loaded(server: Running) -> list[str]:
    return server.on_loop(lambda: sorted(name for name, _ in server.stack.repository.resident()))


def test_v1(servers: Callable[..., Running], zoo: Path) -> None:
    server = servers(zoo, load="on-demand")
    status = one(server, server.get("/v1/models/double"))
    assert status.status == 200 and status.json()["ready"] is True
    assert [v["state"] for v in status.json()["model_version_status"]] == ["AVAILABLE"] and loaded(server) == []
    answer = one(server, server.post("/v1/models/double:predict", ROWS))
    assert answer.json()["predictions"] == [[2, 4, 6]] and loaded(server) == ["double"]
    assert one(server, server.get("/v1/models/centre/metadata")).status == 200 and loaded(server) == [
        "centre",
        "double",
    ]


def test_the_default_model_of_mlflow(servers: Callable[..., Running], zoo: Path) -> None:
    server = servers(zoo, load="on-demand", default="double")
    assert one(server, server.get("/ping")).status == 200 and loaded(server) == []
    answer = one(server, server.post("/invocations", {"inputs": [[1, 2, 3]]}, "Content-Type: application/json"))
    assert answer.json() == {"predictions": [[2, 4, 6]]} and loaded(server) == ["double"]


def test_a_script_by_its_name(servers: Callable[..., Running], tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text("def init(): pass\ndef run(data): return data[::-1]\n")
    gantline.package(script=tmp_path / "score.py", name="back", output=tmp_path / "back.pkg")
    server = servers(tmp_path / "back.pkg", load="on-demand")
    answer = one(server, server.post("/models/back/invoke", b"abc", "Content-Type: application/json"))
    assert answer.status == 200 and answer.json() == "cba"
