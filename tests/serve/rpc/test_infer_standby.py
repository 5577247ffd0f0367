"""gRPC and models that are loaded by their first request: infer, streams, readiness, metadata, deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import pytest
from gantline.serve.rpc.statuses import Code

from gantline.pb import message
from gantline.tensors import Array
from gantline.wire.v2_grpc import decode_reply

if TYPE_CHECKING:
    from tests.serve.rpc.conftest import Rpc

SERVICE = "/inference.GRPCInferenceService/"
Asked = Callable[..., Any]


@pytest.fixture
def cold(own_rpc: Callable[..., Rpc], zoo: Path) -> Rpc:
    return own_rpc(zoo, load="on-demand")


def loaded(rpc: Rpc) -> set[str]:
    return set(rpc.server.on_loop(lambda: [name for name, _ in rpc.server.stack.repository.resident()]))


def told(rpc: Rpc, method: str, **fields: Any) -> Any:
    answer = rpc.ask(SERVICE + method, message(f"inference.{method}Request")(**fields))
    return message(f"inference.{method}Response").FromString(answer)


def test_the_first_call_loads(cold: Rpc, asked: Asked, row: Array) -> None:
    assert told(cold, "ModelReady", name="double").ready and not told(cold, "ModelReady", name="nope").ready
    (stats,) = told(cold, "ModelStatistics", name="double").model_stats
    assert stats.inference_count == 0 and loaded(cold) == set()
    calls = cold.burst(SERVICE + "ModelInfer", *[asked("double", row) for _ in range(8)])
    for call in calls:
        (answer,) = call.rest()
        ((_, array),) = decode_reply(answer).outputs
        assert array.tolist() == (row * 2).tolist()
    assert loaded(cold) == {"double"} and cold.server.stack.on_demand is not None
    assert cold.server.stack.on_demand.tally.loads == 1
    assert told(cold, "ModelMetadata", name="lookup").inputs[0].name == "x" and loaded(cold) == {"double", "lookup"}
    assert told(cold, "ModelConfig", name="centre").config.name == "centre"


def test_a_stream_waits_in_its_order(cold: Rpc, asked: Asked, row: Array) -> None:
    stream = cold.open(SERVICE + "ModelStreamInfer")
    for i, name in enumerate(("double", "nope", "double")):
        stream.put(asked(name, row, str(i)))
    stream.half_close()
    answers = [message("inference.ModelStreamInferResponse").FromString(a) for a in stream.rest()]
    assert [a.infer_response.id for a in answers] == ["0", "1", "2"]
    assert [bool(a.error_message) for a in answers] == [False, True, False] and loaded(cold) == {"double"}


def test_a_deadline_that_passes_meanwhile(cold: Rpc, asked: Asked, row: Array) -> None:
    lock = cold.server.on_loop(lambda: cold.server.stack.loader._turn("double"))
    asyncio.run_coroutine_threadsafe(lock.acquire(), cold.server.loop).result(60)
    deadline = perf_counter_ns() + 30_000_000
    code, details = cold.refused(SERVICE + "ModelInfer", asked("double", row), deadline)
    assert code == Code.DEADLINE_EXCEEDED and "while it was being loaded" in details
    cold.server.on_loop(lock.release)
    cold.ask(SERVICE + "ModelInfer", asked("double", row))


def test_what_a_load_that_fails_comes_to(own_rpc: Callable[..., Rpc], asked: Asked, row: Array, tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"\x08\x08garbage")
    rpc = own_rpc(tmp_path, load="on-demand")
    for _ in range(2):
        code, details = rpc.refused(SERVICE + "ModelInfer", asked("bad", row))
        assert code == Code.UNAVAILABLE and "model 'bad' is not ready: " in details and "bad.onnx" in details
    assert not told(rpc, "ModelReady", name="bad").ready
