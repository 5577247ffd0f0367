"""One process's snapshot, and several as one."""

from __future__ import annotations

import asyncio
import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gantline.serve.telemetry.families import FAMILIES
from gantline.serve.telemetry.snapshot import Snapshot

import gantline

from ..held_engine import hold

if TYPE_CHECKING:
    from tests.serve.conftest import Running

BODY = {"inputs": [{"name": "x", "shape": [2, 3], "datatype": "FP32", "data": [1, 2, 3, 4, 5, 6]}]}


def value(snapshot: Snapshot, name: str, *labels: str) -> Any:
    return next(v for found, v in snapshot[name] if found == list(labels))


def take(server: Running) -> Snapshot:
    async def call() -> Snapshot:
        return await server.stack.control.call("metrics")  # type: ignore[no-any-return]

    return asyncio.run_coroutine_threadsafe(call(), server.loop).result(20)


def test_a_snapshot_of_a_server(servers: Callable[..., Running], zoo: Path) -> None:
    server = servers(zoo / "double.onnx", zoo / "lookup.onnx")
    raw = server.post("/v2/models/double/infer", BODY)
    assert [a.status for a in server.ask(raw * 3 + server.post("/v2/models/double/infer", b"{}"))] == [200] * 3 + [400]
    found = take(server)
    assert found == json.loads(json.dumps(found))
    assert set(found) <= set(FAMILIES)
    assert value(found, "gantline_build", gantline.__version__, platform.python_version(), onnxruntime()) == 1
    assert value(found, "gantline_ready") == value(found, "gantline_workers") == 1
    assert value(found, "gantline_model_ready", "lookup", "1") == 1
    assert value(found, "gantline_rows", "double", "1") == 6
    assert value(found, "gantline_requests", "double", "1", "success") == 3
    assert value(found, "gantline_held_bytes") == 0 < value(found, "gantline_held_limit_bytes")
    assert value(found, "gantline_requests", "double", "1", "fail") == 1
    assert value(found, "gantline_queue_limit_rows", "double", "1") == 16384
    assert value(found, "gantline_model_memory_bytes", "double", "1") == (zoo / "double.onnx").stat().st_size
    assert sum(value(found, "gantline_request_seconds", "double", "1")["counts"]) == 3
    assert value(found, "nv_inference_count", "double", "1") == 6
    server.on_loop(server.stack.drain)
    assert value(take(server), "gantline_ready") == 0


def test_every_reason_is_told_from_the_others(servers: Callable[..., Running], zoo: Path) -> None:
    """Requests that fail each in its own way, to a server with room for one row."""
    server = servers(zoo / "lookup.onnx", zoo / "toil.onnx", max_queue_rows=1)
    good = {"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [1]}]}
    beyond = {"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [7]}]}
    lookup, toil = "/v2/models/lookup/infer", "/v2/models/toil/infer"
    asked = [(lookup, {}, 400), (lookup, beyond, 500), (lookup, good, 200), ("/v2/models/no/infer", good, 404)]
    for path, body, status in asked:
        assert server.ask(server.post(path, body))[0].status == status
    model = server.on_loop(lambda: server.stack.repository.find("toil"))
    held = hold(server, "toil")
    with server.connect() as running, server.connect() as waiting:
        running.sendall(server.post(toil, good))
        server.until(lambda: model.dispatch.running == 1)
        assert server.ask(server.post(toil, good, "x-gantline-timeout-ms: 20"))[0].status == 504
        waiting.sendall(server.post(toil, good))
        server.until(lambda: len(model.batcher) == 1)
        found = take(server)
        assert value(found, "gantline_inflight_requests", "toil", "1") == 2
        assert value(found, "gantline_queue_requests", "toil", "1") == 1
        assert server.ask(server.post(toil, good))[0].status == 503
        held.go_on.set()
        assert server.read_answer(running).status == server.read_answer(waiting).status == 200
    found = take(server)
    assert {tuple(labels): v for labels, v in found["gantline_rejections"]} == {
        ("", "", "not_found"): 1, ("lookup", "1", "bad_request"): 1, ("lookup", "1", "engine"): 1,
        ("toil", "1", "queue_full"): 1, ("toil", "1", "deadline"): 1,
    }  # fmt: skip
    assert value(found, "nv_inference_request_failure", "toil", "1", "REJECTED") == 2


def test_all_that_the_table_has_is_told(servers: Callable[..., Running], zoo: Path) -> None:
    server = servers(zoo / "double.onnx")
    server.ask(server.post("/v2/models/double/infer", BODY) + server.post("/v2/models/double/infer", {}))
    server.until(lambda: server.stack.collector.vitals.lag.count > 0)
    of_workers_and_hosts = {"gantline_worker_restarts", "gantline_host_restarts"}
    of_models_loaded_on_demand = {n for n in FAMILIES if "_models" in n or "_load" in n or "_unloads" in n}
    of_aliases = {"gantline_alias_served", "gantline_alias_failures", "gantline_registry_reachable"}
    missing = of_workers_and_hosts | of_models_loaded_on_demand | of_aliases | {"gantline_model"}  # this is no package
    assert set(FAMILIES) - set(take(server)) == missing
    other = servers(zoo / "double.onnx", load="on-demand")
    assert of_models_loaded_on_demand <= set(take(other))


def test_counters_do_not_go_back_when_a_model_is_loaded_again(servers: Callable[..., Running], zoo: Path) -> None:
    server = servers(zoo / "double.onnx")
    raw = server.post("/v2/models/double/infer", BODY)
    answered = 0
    for verb in ("load", "unload", "load"):
        answered += server.ask(raw)[0].status == 200
        assert server.ask(server.post(f"/v2/repository/models/double/{verb}", b""))[0].status == 200
        assert value(take(server), "gantline_requests", "double", "1", "success") == answered
        assert value(take(server), "gantline_model_ready", "double", "1") == (verb == "load")
    assert server.ask(raw)[0].status == 200
    assert value(take(server), "gantline_rows", "double", "1") == 2 * (answered + 1) == 6
    stats = server.ask(server.get("/v2/models/double/stats"))[0].json()["model_stats"][0]
    assert stats["inference_count"] == 6


def test_connections_and_lag_are_watched(servers: Callable[..., Running], zoo: Path) -> None:
    server = servers(zoo / "double.onnx")
    with server.connect(), server.connect():
        server.until(lambda: len(server.connections) == 2)
        assert value(take(server), "gantline_connections") == 2
    server.until(lambda: server.stack.collector.vitals.lag.count > 1)
    assert sum(value(take(server), "gantline_event_loop_lag_seconds")["counts"]) > 1


def test_triton_names_can_be_left_out(servers: Callable[..., Running], zoo: Path) -> None:
    server = servers(zoo / "double.onnx", no_triton_metrics="true")
    found = take(server)
    assert found["gantline_rows"] and not [name for name in found if name.startswith("nv_")]


def onnxruntime() -> str:
    from importlib.metadata import version

    return version("onnxruntime")
