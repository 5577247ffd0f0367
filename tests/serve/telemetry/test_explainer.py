"""What the verb "dispatch" says of a server that ran batches, and of several."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from gantline.serve.telemetry.explainer import merge, told
from gantline.serve.telemetry.histogram import Histogram

from gantline.errors import NotFound

if TYPE_CHECKING:
    from tests.serve.conftest import Running

BODY = {"inputs": [{"name": "x", "shape": [2, 3], "datatype": "FP32", "data": [1, 2, 3, 4, 5, 6]}]}


def ask(server: Running, name: str, version: str = "") -> dict[str, Any]:
    async def call() -> dict[str, Any]:
        return await server.stack.control.call("dispatch", name=name, version=version)  # type: ignore[no-any-return]

    return asyncio.run_coroutine_threadsafe(call(), server.loop).result(20)


def test_why_batches_went(servers: Callable[..., Running], zoo: Path) -> None:
    server = servers(zoo / "double.onnx")
    raw = server.post("/v2/models/double/infer", BODY)
    assert [a.status for a in server.ask(raw * 5)] == [200] * 5
    found = ask(server, "double")
    assert found == json.loads(json.dumps(found))
    assert (found["name"], found["version"]) == ("double", "1")
    (worker,) = found["workers"]
    assert worker["pace"] == {"kind": "greedy"} and worker["running_requests"] == 0
    assert worker["waiting"] == {"requests": 0, "rows": 0, "limit_rows": 16384}
    assert sum(worker["batches"].values()) == sum(found["reasons"].values()) == len(worker["last"])
    assert sum(d["rows"] for d in worker["last"]) == 10 and sum(d["requests"] for d in worker["last"]) == 5
    assert {d["reason"] for d in worker["last"]} == set(found["reasons"])
    ages = [d["ago_ms"] for d in worker["last"]]
    assert ages == sorted(ages) and all(d["oldest_waited_ms"] >= 0 for d in worker["last"])
    assert all(sum(h["counts"]) == 5 for h in found["durations"].values())


def test_models_that_are_not_there(server: Running) -> None:
    for name, version in (("none", ""), ("double", "9")):
        with pytest.raises(NotFound):
            ask(server, name, version)


def answer(reason: str, *durations: int) -> dict[str, Any]:
    histogram = Histogram()
    for ns in durations:
        histogram.observe(ns)
    return {
        "name": "m", "version": "1", "reasons": {reason: 1, "full": 2}, "durations": {"queue": histogram.to_json()},
        "workers": [{"pace": {"kind": reason}}],
    }  # fmt: skip


def test_workers_side_by_side() -> None:
    found = merge([answer("idle", 1_000_000, 3_000_000), answer("delay", 2_000_000)])
    assert found["reasons"] == {"idle": 1, "delay": 1, "full": 4}
    assert [w["pace"]["kind"] for w in found["workers"]] == ["idle", "delay"]
    assert merge([answer("idle", 5)]) == answer("idle", 5)
    durations = told(found)["durations"]["queue"]
    assert durations["count"] == 3 and durations["mean_ms"] == 2.0
    assert durations["p50_ms"] <= durations["p90_ms"] <= durations["p99_ms"] <= 3.0
    assert told(answer("idle"))["durations"]["queue"] == {
        "count": 0, "mean_ms": 0, "p50_ms": 0, "p90_ms": 0, "p99_ms": 0,
    }  # fmt: skip
