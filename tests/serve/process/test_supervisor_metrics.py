"""Metrics of several workers, from outside: one server's, and sums that outlive a worker."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from gantline.pb import message

if TYPE_CHECKING:
    from prometheus_client import Metric

    from tests.serve.conftest import Running
    from tests.serve.process.conftest import Program, Programs

pytestmark = [
    pytest.mark.slow,  # several processes each
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes by /proc"),
]
WAIT_S = 60.0
ROWS = {"inputs": [{"name": "x", "shape": [2, 3], "datatype": "FP32", "data": [1, 2, 3, 4, 5, 6]}]}


def scrape(run: Program, client: type[Running]) -> dict[str, float]:
    """The lines of the model, or of none, by name."""
    with run.connect() as s:
        s.sendall(client.get("/metrics", "Accept: application/openmetrics-text"))
        text = client.read_answer(s).body.decode()
    families: Iterable[Metric] = text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    return {s.name: s.value for f in families for s in f.samples if set(s.labels) <= {"model", "version"}}


def statistics(run: Program, client: type[Running]) -> dict[str, Any]:
    """V2's, of the model."""
    with run.connect() as s:
        s.sendall(client.get("/v2/models/double/stats"))
        [row] = client.read_answer(s).json()["model_stats"]
    assert isinstance(row, dict)
    return row


def grpc_count(run: Program) -> int:
    with grpc.insecure_channel(run.ready["grpc"], [("grpc.use_local_subchannel_pool", 1)]) as channel:
        call: Any = channel.unary_unary("/inference.GRPCInferenceService/ModelStatistics")
        reply = message("inference.ModelStatisticsResponse").FromString(call(b"", timeout=WAIT_S))
    [row] = reply.model_stats
    return int(row.inference_count)


def test_sums_outlive_a_worker(zoo: Path, program: Programs, client: type[Running]) -> None:
    with program(zoo / "double.onnx", "--workers", 2) as run:
        infer = client.post("/v2/models/double/infer", ROWS)
        first, second = run.workers()[1], run.workers()[2]
        os.kill(second, signal.SIGSTOP)  # so that the first takes the connection
        with run.connect() as s:
            for _ in range(5):
                s.sendall(infer)
                assert client.read_answer(s).status == 200
        os.kill(second, signal.SIGCONT)
        found = scrape(run, client)
        assert found["gantline_rows_total"] == found["nv_inference_count"] == 10
        assert found["gantline_request_seconds_count"] == 5
        assert (found["gantline_workers"], found["gantline_worker_restarts_total"]) == (2, 0)
        assert found["gantline_ready"] == found["gantline_model_ready"] == 1
        os.kill(first, signal.SIGKILL)
        end = time.monotonic() + WAIT_S
        while (found := scrape(run, client))["gantline_worker_restarts_total"] < 1 or found["gantline_workers"] < 2:
            assert found["gantline_rows_total"] == 10 and time.monotonic() < end
        row = statistics(run, client)  # nobody had asked for these: /metrics was enough
        assert (row["inference_count"], row["execution_count"], row["last_inference"] > 0) == (10, 5, True)
        assert row["inference_stats"]["success"]["count"] == 5 and grpc_count(run) == 10
        assert [(b["batch_size"], b["compute_infer"]["count"]) for b in row["batch_stats"]] == [(2, 5)]
        with run.connect() as s:
            s.sendall(infer)
            assert client.read_answer(s).status == 200
        found = scrape(run, client)
        assert found["gantline_rows_total"] == 12 and found["gantline_request_seconds_count"] == 6
        assert statistics(run, client)["inference_count"] == grpc_count(run) == 12
        run.signal()
        assert run.code() == 0, run.log.read_text()
