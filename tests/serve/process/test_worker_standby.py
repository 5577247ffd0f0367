"""Several workers that load on demand are one server: any of them answers for any model, and tells the same."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .test_supervisor import connect_to

if TYPE_CHECKING:
    from tests.serve.conftest import Answer, Running, Scaler
    from tests.serve.process.conftest import Program, Programs

pytestmark = [
    pytest.mark.slow,  # several processes each
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes by /proc"),
]
BODY = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}


def ask(run: Program, worker: int, client: type[Running], raw: bytes) -> Answer:
    with connect_to(run, worker, client) as s:
        s.sendall(raw)
        return client.read_answer(s)


def test_one_server(program: Programs, client: type[Running], scaler: Scaler, tmp_path: Path) -> None:
    for i in range(4):
        scaler(tmp_path / f"models/m{i}.onnx", float(i))
    (tmp_path / "settings.toml").write_text("[model.m3]\npinned = true\n")
    words = ("--workers", 2, "--load", "on-demand", "--memory", "1GiB", "--no-grpc", "--config", "settings.toml")
    with program(tmp_path / "models", *words) as run:
        states = {m["name"]: m["state"] for m in run.ready["models"]}
        assert states == {"m0": "STANDBY", "m1": "STANDBY", "m2": "STANDBY", "m3": "READY"}

        def infer(worker: int, name: str) -> Any:
            answer = ask(run, worker, client, client.post(f"/v2/models/{name}/infer", BODY))
            return answer.json()["outputs"][0]["data"] if answer.status == 200 else (answer.status, answer.json())

        assert infer(1, "m1") == [1, 2, 3] and infer(2, "m2") == [2, 4, 6]
        index = ask(run, 2, client, client.post("/v2/repository/index", {"ready": True})).json()
        assert [(r["name"], r["state"]) for r in index] == [(f"m{i}", "READY") for i in range(4)]
        for worker in (1, 2):
            (stats,) = ask(run, worker, client, client.get("/v2/models/m1/stats")).json()["model_stats"]
            assert stats["inference_count"] == 1, "whichever worker ran it"
            assert len(ask(run, worker, client, client.get("/v2/models/m1/dispatch")).json()["workers"]) == 1
        found = ask(run, 1, client, client.get("/v2/repository/memory")).json()
        assert found["limit_bytes"] == 1 << 30 and found["known"] == 4
        assert sorted(sorted(r["name"] for r in rows) for rows in found["workers"]) == [["m1", "m3"], ["m2", "m3"]]
        assert all(r["pinned"] == (r["name"] == "m3") for rows in found["workers"] for r in rows)
        metrics = ask(run, 2, client, client.get("/metrics")).body.decode().splitlines()
        assert (
            'gantline_model_loads_total{outcome="ok"} 2' in metrics and 'gantline_models{state="loaded"} 4' in metrics
        )
        assert ask(run, 1, client, client.post("/v2/repository/models/m1/unload", {})).status == 200
        assert infer(1, "m1")[0] == infer(2, "m1")[0] == 503, "what an operator unloads is gone in all"
        assert ask(run, 2, client, client.post("/v2/repository/models/m0/load", {})).status == 200
        found = ask(run, 1, client, client.get("/v2/repository/memory")).json()
        assert all("m0" in {r["name"] for r in rows if r["pinned"]} for rows in found["workers"])
        run.signal()
        assert run.code() == 0, run.log.read_text()
