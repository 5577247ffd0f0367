"""Models that come when they are asked for, and go when they are not: on real models, through a real server."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import pytest
from gantline.serve.on_demand import OnDemand
from gantline.serve.residency import SESSION
from gantline.serve.scale import Weighing

from .held_engine import hold

if TYPE_CHECKING:
    from tests.serve.conftest import Answer, Running, Scaler

Servers = Callable[..., "Running"]
BODY = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}
LIMIT = 3 * (SESSION + 4096)  # of three small models and not of four


@pytest.fixture
def scalers(scaler: Scaler, tmp_path: Path) -> Path:
    """Eight small models, m0 to m7: x times their number."""
    for i in range(8):
        scaler(tmp_path / f"m{i}.onnx", float(i))
    return tmp_path


@pytest.fixture
def start(servers: Servers) -> Servers:
    return lambda *refs, **flags: servers(*refs, load="on-demand", **flags)


def ask(server: Running, name: str, *headers: str) -> Answer:
    (answer,) = server.ask(server.post(f"/v2/models/{name}/infer", BODY, *headers))
    return answer


def get(server: Running, path: str) -> Answer:
    (answer,) = server.ask(server.get(path))
    return answer


def loaded(server: Running) -> set[str]:
    return set(server.on_loop(lambda: [name for name, _ in server.stack.repository.resident()]))


def of(server: Running) -> OnDemand:
    assert server.stack.on_demand is not None
    return server.stack.on_demand


def outputs(answer: Answer) -> Any:
    assert answer.status == 200, answer.body
    return answer.json()["outputs"][0]["data"]


def test_nothing_is_loaded_until_it_is_asked_for(start: Servers, scalers: Path) -> None:
    server = start(scalers)
    assert loaded(server) == set() and get(server, "/v2/health/ready").status == 200
    assert outputs(ask(server, "m3")) == [3, 6, 9]
    assert loaded(server) == {"m3"} and of(server).tally.loads == 1
    assert outputs(ask(server, "m3")) == [3, 6, 9] and of(server).tally.loads == 1, "and by the hot road from then on"
    assert server.on_loop(lambda: b"/v2/models/m3/infer" in server.stack.repository.routes)
    assert outputs(server.ask(server.post("/v2/models/m4/versions/1/infer", BODY))[0]) == [4, 8, 12]


def test_what_is_told_of_a_model_that_is_not_loaded(start: Servers, scalers: Path) -> None:
    server = start(scalers)
    assert get(server, "/v2/models/m1/ready").status == get(server, "/v2/models/m1/versions/1/ready").status == 200
    assert get(server, "/v2/models/m9/ready").status == get(server, "/v2/models/m1/versions/7/ready").status == 404
    index = {row["name"]: row for row in server.ask(server.post("/v2/repository/index", {"ready": True}))[0].json()}
    assert set(index) == {f"m{i}" for i in range(8)}
    assert index["m1"] | {"version": "1", "state": "READY"} == index["m1"] and "first request" in index["m1"]["reason"]
    (stats,) = get(server, "/v2/models/m1/stats").json()["model_stats"]
    assert stats["inference_count"] == 0 and stats["memory_usage"] == []
    assert get(server, "/v2/models/m1/versions/1/stats").json()["model_stats"] == [stats]
    assert get(server, "/v2/models/m1/dispatch").json()["workers"] == []
    assert loaded(server) == set(), "none of this loads it"
    assert get(server, "/v2/models/m1").json()["inputs"][0]["name"] == "x", "what only the model knows does"
    assert get(server, "/v2/models/m2/config").json()["name"] == "m2" and loaded(server) == {"m1", "m2"}


def test_many_requests_load_a_model_once(start: Servers, scalers: Path) -> None:
    server = start(scalers)
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: outputs(ask(server, "m5")), range(32)))
    assert found == [[5, 10, 15]] * 32 and of(server).tally.loads == 1


def test_the_longest_unused_makes_room(start: Servers, scalers: Path) -> None:
    server = start(scalers, memory=LIMIT)
    server.on_loop(lambda: setattr(of(server)._loader, "_scale", Blind()))
    for name in ("m1", "m2", "m3", "m1", "m4"):
        assert ask(server, name).status == 200
    assert loaded(server) == {"m1", "m3", "m4"} and of(server).tally.evicted == 1
    assert outputs(ask(server, "m2")) == [2, 4, 6] and loaded(server) == {"m1", "m2", "m4"}
    (stats,) = get(server, "/v2/models/m1/stats").json()["model_stats"]
    assert stats["inference_count"] == 2
    (stats,) = get(server, "/v2/models/m3/stats").json()["model_stats"]
    assert stats["inference_count"] == 1, "what it has done is remembered"


class Blind:
    """A scale that sees no growth, so that a model's file alone tells its weight."""

    def weigh(self) -> AbstractContextManager[Weighing]:
        return nullcontext(Weighing())

    def stir(self) -> None:
        """Nothing is weighed."""


def test_a_model_at_work_stays_and_who_finds_no_room_is_told(
    start: Servers, scalers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start(scalers, memory=LIMIT)
    server.on_loop(lambda: setattr(of(server)._loader, "_scale", Blind()))
    names = ("m1", "m2", "m3")
    assert {ask(server, name).status for name in names} == {200}
    engines = [hold(server, name) for name in names]
    with server.connect() as a, server.connect() as b, server.connect() as c, server.connect() as d:
        for s, name, engine in zip((a, b, c), names, engines, strict=True):
            s.sendall(server.post(f"/v2/models/{name}/infer", BODY))
            assert engine.began.wait(60)
        monkeypatch.setattr("gantline.serve.on_demand.ROOM_S", 0.0)
        answer = ask(server, "m4")
        assert answer.status == 503 and answer.headers["retry-after"] == "1"
        assert "models at work take too much" in answer.json()["error"] and of(server).tally.refused == 1
        assert loaded(server) == {*names}, "nobody who works is let go"
        monkeypatch.setattr("gantline.serve.on_demand.ROOM_S", 60.0)
        d.sendall(server.post("/v2/models/m4/infer", BODY))
        server.until(lambda: "m4" in of(server)._loads)
        engines[1].go_on.set()
        assert outputs(server.read_answer(d)) == [4, 8, 12], "who has finished makes room for who waits"
        assert loaded(server) == {"m1", "m3", "m4"}
        engines[0].go_on.set()
        engines[2].go_on.set()
        assert [outputs(server.read_answer(s)) for s in (a, b, c)] == [[1, 2, 3], [2, 4, 6], [3, 6, 9]]


def test_what_an_operator_loads_stays(start: Servers, scalers: Path) -> None:
    server = start(scalers, memory=LIMIT)
    server.on_loop(lambda: setattr(of(server)._loader, "_scale", Blind()))
    for name in ("m1", "m2", "m3"):
        (answer,) = server.ask(server.post(f"/v2/repository/models/{name}/load", {}))
        assert answer.status == 200
    assert loaded(server) == {"m1", "m2", "m3"}
    answer = ask(server, "m4")
    assert answer.status == 503 and answer.headers["retry-after"] == "1"
    assert "models that are pinned take too much of the 0.4 MiB there are" in answer.json()["error"]
    (answer,) = server.ask(server.post("/v2/repository/models/m2/unload", {}))
    assert answer.status == 200
    assert outputs(ask(server, "m4")) == [4, 8, 12] and loaded(server) == {"m1", "m3", "m4"}


def test_what_an_operator_unloads_no_request_brings_back(start: Servers, scalers: Path) -> None:
    server = start(scalers)
    assert ask(server, "m1").status == 200
    for name in ("m1", "m2"):
        assert server.ask(server.post(f"/v2/repository/models/{name}/unload", {}))[0].status == 200
        answer = ask(server, name)
        assert answer.status == 503 and answer.json()["error"].endswith("is not ready: unloaded")
        assert get(server, f"/v2/models/{name}/ready").status == 400
    assert server.ask(server.post("/v2/repository/models/m1/load", {}))[0].status == 200
    assert outputs(ask(server, "m1")) == [1, 2, 3]


def test_a_load_that_fails_is_told_to_all_and_not_tried_again_at_once(start: Servers, scalers: Path) -> None:
    (scalers / "bad.onnx").write_bytes(b"\x08\x08garbage")
    server = start(scalers)
    assert get(server, "/v2/models/bad/ready").status == 200, "nobody has looked"
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: ask(server, "bad"), range(8)))
    assert {a.status for a in found} == {503} and of(server).tally.failed == 1
    assert all("bad.onnx: onnxruntime" in a.json()["error"] for a in found)
    assert str(scalers.parent) not in found[0].json()["error"]
    assert ask(server, "bad").json() == found[0].json() and of(server).tally.failed == 1
    assert get(server, "/v2/models/bad/ready").status == 400
    shutil.copy(scalers / "m6.onnx", scalers / "bad.onnx")
    server.on_loop(lambda: of(server)._retries.forgive("bad"))  # as time does
    assert outputs(ask(server, "bad")) == [6, 12, 18] and get(server, "/v2/models/bad/ready").status == 200


def test_a_model_larger_than_the_limit(start: Servers, scalers: Path, zoo: Path) -> None:
    shutil.copy(zoo / "toil.onnx", scalers)
    server = start(scalers, memory=SESSION + 4096)
    (answer,) = server.ask(server.post("/v2/models/toil/infer", {"inputs": []}))
    assert (
        answer.status == 503 and "it takes 0.3 MiB, more than the 0.1 MiB that --memory gives" in answer.json()["error"]
    )
    assert loaded(server) == set()


def test_deadlines_pass_while_a_model_is_loaded(start: Servers, scalers: Path) -> None:
    server = start(scalers)
    lock = server.on_loop(lambda: of(server)._loader._turn("m1"))
    asyncio.run_coroutine_threadsafe(lock.acquire(), server.loop).result(60)
    answer = ask(server, "m1", "x-gantline-timeout-ms: 30")
    assert answer.status == 504 and "while it was being loaded" in answer.json()["error"]
    with server.connect() as s:
        s.sendall(server.post("/v2/models/m1/infer", BODY))
        server.until(lambda: of(server)._waiting == 1)
        server.on_loop(lock.release)
        assert outputs(server.read_answer(s)) == [1, 2, 3]
    assert server.on_loop(lambda: (of(server)._waiting, of(server)._loads)) == (0, {})


def test_who_serves_nobody_is_unloaded(start: Servers, scalers: Path) -> None:
    server = start(scalers, unload_after_s=5)
    assert ask(server, "m1").status == ask(server, "m2").status == 200

    def tick(seconds: float) -> None:
        run = of(server).tick(perf_counter_ns() + int(seconds * 1e9))
        asyncio.run_coroutine_threadsafe(run, server.loop).result(60)

    tick(0)
    assert loaded(server) == {"m1", "m2"}
    tick(6)
    assert loaded(server) == set() and of(server).tally.idled == 2
    assert outputs(ask(server, "m1")) == [1, 2, 3]


def test_no_more_than_a_bound_may_wait(start: Servers, scalers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = start(scalers)
    monkeypatch.setattr("gantline.serve.on_demand.MAX_WAITING", 0)
    answer = ask(server, "m1")
    assert (
        answer.status == 503
        and answer.headers["retry-after"] == "1"
        and "wait for models already" in answer.json()["error"]
    )
