"""GET /metrics as Prometheus asks for it, and figures that equal what the server answered."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from gantline.serve.telemetry.exposition import OPEN_METRICS, TEXT
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open

if TYPE_CHECKING:
    from prometheus_client import Metric

    from tests.serve.conftest import Answer, Running

OPEN = "Accept: application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.2"
X = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}


def get(server: Running, path: str, *headers: str) -> Answer:
    (answer,) = server.ask(server.get(path, *headers))
    return answer


def samples(body: bytes) -> dict[tuple[str, tuple[str, ...]], float]:
    """Lines by name and label values, in OpenMetrics: the other parser gives Triton's counters another name."""
    families: Iterable[Metric] = parse_open(body.decode())  # type: ignore[no-untyped-call]
    return {(s.name, tuple(s.labels.values())): s.value for family in families for s in family.samples}


def test_counts_equal_what_was_answered(servers: Callable[..., Running], zoo: Path) -> None:
    server = servers(zoo / "double.onnx")
    infer = server.post("/v2/models/double/infer", {"inputs": [X]})
    bad = server.post("/v2/models/double/infer", {"inputs": []})
    answers = server.ask((infer * 5 + bad) * 20)
    good = sum(a.status == 200 for a in answers)
    assert good == 100 and len(answers) == 120
    answer = get(server, "/metrics", OPEN)
    assert answer.status == 200 and answer.headers["content-type"] == OPEN_METRICS
    found = samples(answer.body)
    model = ("double", "1")
    assert found["gantline_requests_total", (*model, "success")] == good
    assert found["gantline_requests_total", (*model, "fail")] == 20
    for name in ("gantline_request_seconds_count", "gantline_rows_total", "gantline_batch_rows_sum"):
        assert found[name, model] == good, name
    for phase in ("assemble", "compute", "split"):
        assert found["gantline_phase_seconds_count", (*model, phase)] == good
    assert found["gantline_batches_total", model] == found["gantline_batch_rows_count", model]
    for name, value in (
        ("request_success", good), ("count", good), ("exec_count", found["gantline_batches_total", model]),
        ("pending_request_count", 0),
    ):  # fmt: skip
        assert found[f"nv_inference_{name}", model] == value
    assert found["nv_inference_request_duration_us", model] == pytest.approx(
        found["gantline_request_seconds_sum", model] * 1e6
    )
    stats = get(server, "/v2/models/double/stats").json()["model_stats"][0]["inference_stats"]
    assert stats["success"]["count"] == good and stats["fail"]["count"] == 20
    assert stats["success"]["ns"] == pytest.approx(found["gantline_request_seconds_sum", model] * 1e9)


def test_format_and_compression(server: Running) -> None:
    plain = get(server, "/metrics")
    assert plain.headers["content-type"] == TEXT and plain.body.startswith(b"# HELP gantline_build_info ")
    packed = get(server, "/metrics", OPEN, "Accept-Encoding: br, gzip;q=0.5")
    assert packed.headers["content-type"] == OPEN_METRICS and packed.headers["content-encoding"] == "gzip"
    assert samples(gzip.decompress(packed.body))["gantline_ready", ()] == 1
    for refused in ("gzip;q=0", "identity", "gzip; q=0.0, br"):
        answer = get(server, "/metrics", OPEN, f"Accept-Encoding: {refused}")
        assert "content-encoding" not in answer.headers and samples(answer.body)["gantline_ready", ()] == 1


def test_it_is_only_read(server: Running) -> None:
    (answer,) = server.ask(server.post("/metrics", b""))
    assert answer.status == 405


def test_it_can_be_switched_off(servers: Callable[..., Running], zoo: Path) -> None:
    server = servers(zoo / "double.onnx", no_metrics="true")
    assert get(server, "/metrics").status == 404
    assert get(server, "/v2/models/stats").status == 200
