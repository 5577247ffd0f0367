"""Workers that hang without dying, and workers that only seem to."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.serve.conftest import Running
    from tests.serve.process.conftest import Program, Programs

pytestmark = [
    pytest.mark.slow,  # several processes each
    pytest.mark.alone,  # whoever gets no processor for long enough hangs, too
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes by /proc"),
]
ROW = {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}


def turns(times: int) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [times]}]}


def ask(run: Program, client: type[Running], raw: bytes) -> tuple[int, Any]:
    """By whoever accepts; a worker that stands still does not."""
    with run.connect() as s:
        s.sendall(raw)
        answer = client.read_answer(s)
    return answer.status, answer.body


def until_replaced(run: Program, worker: int, before: int) -> None:
    while run.workers().get(worker, before) == before:
        assert run.process.poll() is None, run.log.read_text()
        time.sleep(0.01)


def test_others_go_on_without_one_that_hangs(zoo: Path, program: Programs, client: type[Running]) -> None:
    with program(zoo, "--workers", 2, "--worker-timeout-s", 9) as run:
        stuck = run.workers()[1]
        os.kill(stuck, signal.SIGSTOP)
        for raw in (
            client.post("/v2/repository/models/lookup/unload", {}),
            client.post("/v2/logging", {"log_verbose_level": 1}),
            client.get("/v2/models/double/stats"),
            client.post("/v2/repository/models/lookup/load", {}),
            client.post("/v2/repository/models/double/unload", {}),
        ):
            status, body = ask(run, client, raw)
            assert status == 200, body
        status, body = ask(run, client, client.get("/metrics"))
        assert status == 200 and b"\ngantline_workers 1" in body
        assert run.workers()[1] == stuck  # waited for once, until it was silent, and not until it was replaced
        run.wait_for_log("worker 1 hangs: silent for 9")
        run.wait_for_log("worker 1 ended (signal SIGKILL); starting another in 0.05 s")
        until_replaced(run, 1, stuck)
        while b"\ngantline_workers 2" not in ask(run, client, client.get("/metrics"))[1]:
            assert run.process.poll() is None
        other = run.workers()[2]
        os.kill(other, signal.SIGSTOP)  # so that the new one answers
        status, body = ask(run, client, client.post("/v2/repository/index", {}))
        states = {row["name"]: row["state"] for row in json.loads(body)}
        assert status == 200 and states["double"] == "UNAVAILABLE" and states["lookup"] == "READY"
        status, body = ask(run, client, client.get("/v2/logging"))
        assert json.loads(body)["log_verbose_level"] == 1
        os.kill(other, signal.SIGCONT)
        run.signal()
        assert run.code() == 0, run.log.read_text()
        assert run.log.read_text().count("hangs") == 1


def write_count(path: Path) -> None:
    """x -> x, by so many turns of a loop with nothing in it: few take microseconds, however slow the machine is."""
    onnx = pytest.importorskip("onnx")
    h, int64, truth = onnx.helper, onnx.TensorProto.INT64, onnx.TensorProto.BOOL
    info, node = h.make_tensor_value_info, h.make_node
    body = h.make_graph(
        [node("Identity", ["go"], ["go_out"]), node("Identity", ["n"], ["n_out"])], "body",
        [info("i", int64, []), info("go", truth, []), info("n", int64, [1])],
        [info("go_out", truth, []), info("n_out", int64, [1])],
    )  # fmt: skip
    constants = [h.make_tensor("axes", int64, [1], [0]), h.make_tensor("true", truth, [], [True])]
    nodes = [node("Squeeze", ["x", "axes"], ["n"]), node("Loop", ["n", "true", "x"], ["y"], body=body)]
    graph = h.make_graph(nodes, "g", [info("x", int64, [1])], [info("y", int64, [1])], constants)
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), path)


@pytest.mark.slow
def test_a_loop_that_never_returns(tmp_path: Path, program: Programs, client: type[Running]) -> None:
    (tmp_path / "models").mkdir()
    write_count(tmp_path / "models/count.onnx")
    infer = "/v2/models/count/infer"
    with program(tmp_path / "models", "--workers", 2, "--worker-timeout-s", 2) as run:
        try:
            with run.connect() as s:
                for _ in range(200):  # learnt to be so short that it runs on the event loop, whoever wants the cores
                    s.sendall(client.post(infer, turns(1)))
                    assert client.read_answer(s).status == 200
                worker = run.owners()[s.getsockname()[1]]
                before = run.workers()[worker]
                s.sendall(client.post(infer, turns(1 << 60)))
                assert client.read_all(s) == b""  # it ended with the worker
            run.wait_for_log(f"worker {worker} hangs: silent for 2")
            until_replaced(run, worker, before)
            status, body = ask(run, client, client.post("/v2/repository/index", {"ready": True}))
            assert status == 200 and len(json.loads(body)) == 1
        finally:
            left = run.workers().values()
            run.process.kill()
            for pid in left:
                os.kill(pid, signal.SIGKILL)  # their threads would compute on and on


@pytest.mark.slow
def test_long_work_is_not_a_hang(tmp_path: Path, zoo: Path, program: Programs, client: type[Running]) -> None:
    """A model that takes long to load, one that takes long to run, and one that wakes in time."""
    import gantline

    (tmp_path / "score.py").write_text(
        "import time\ndef init():\n    time.sleep(2.5)\ndef run(data):\n    time.sleep(2.5)\n    return data\n"
    )
    models = tmp_path / "models"
    models.mkdir()
    gantline.package(script=tmp_path / "score.py", name="slow", output=models / "slow")
    (models / "toil.onnx").write_bytes((zoo / "toil.onnx").read_bytes())
    with program(models, "--workers", 2, "--worker-timeout-s", 2) as run:
        pids = run.workers()
        assert ask(run, client, client.post("/v2/repository/models/slow/load", {}))[0] == 200
        raw = client.post("/models/slow/score", {"a": 1}, "Content-Type: application/json")
        assert ask(run, client, raw)[0] == 200
        with run.connect() as s:
            s.settimeout(120)
            for times in (100, 5000):  # the first teaches that it is slow: the second runs on a thread
                s.sendall(client.post("/v2/models/toil/infer", turns(times)))
                assert client.read_answer(s).status == 200
        run.signal()
        assert run.code() == 0, run.log.read_text()
        assert "hangs" not in run.log.read_text() and "ended" not in run.log.read_text() and pids


@pytest.mark.slow
def test_a_supervisor_that_stood_still_blames_nobody(zoo: Path, program: Programs, client: type[Running]) -> None:
    """As on a machine that is suspended: all stop, and some wake before others."""
    with program(zoo / "double.onnx", "--workers", 2, "--worker-timeout-s", 6) as run:
        pids = run.workers()
        for pid in (*pids.values(), run.process.pid):
            os.kill(pid, signal.SIGSTOP)
        woken = time.monotonic() + 6.5
        while time.monotonic() < woken:
            os.waitid(os.P_PID, run.process.pid, os.WSTOPPED | os.WNOWAIT)
        run.process.send_signal(signal.SIGCONT)
        woken = time.monotonic() + 1.0
        while time.monotonic() < woken:
            assert run.workers() == pids
        for pid in pids.values():
            os.kill(pid, signal.SIGCONT)
        for _ in range(4):
            assert ask(run, client, client.post("/v2/models/double/infer", ROW))[0] == 200
        run.signal()
        assert run.code() == 0, run.log.read_text()
        assert "hangs" not in run.log.read_text()
