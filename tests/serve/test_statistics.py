"""What perf_analyzer dereferences is there, and adds up."""

from __future__ import annotations

import json

from gantline.serve.statistics import Statistics


def test_every_field_from_the_start() -> None:
    found = Statistics().to_json("m", "1")
    assert found == json.loads(json.dumps(found))
    assert (found["name"], found["version"], found["last_inference"]) == ("m", "1", 0)
    assert set(found["inference_stats"]) == {
        "success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss",
    }  # fmt: skip
    assert all(d == {"count": 0, "ns": 0} for d in found["inference_stats"].values())
    assert found["batch_stats"] == [] and found["memory_usage"] == [] and found["response_stats"] == {}


def test_a_batch_is_charged_to_each_of_its_requests() -> None:
    statistics = Statistics()
    statistics.executed(requests=2, rows=5, queue_ns=30, input_ns=1, infer_ns=10, output_ns=2)
    statistics.executed(requests=1, rows=5, queue_ns=7, input_ns=0, infer_ns=20, output_ns=0)
    statistics.executed(requests=1, rows=1, queue_ns=1, input_ns=0, infer_ns=3, output_ns=0)
    statistics.succeeded(100)
    statistics.succeeded(50)
    statistics.failed(7)
    found = statistics.to_json("m", "1")
    assert (found["inference_count"], found["execution_count"]) == (11, 3)
    assert found["last_inference"] > 1_600_000_000_000
    stats = found["inference_stats"]
    assert stats["success"] == {"count": 2, "ns": 150} and stats["fail"] == {"count": 1, "ns": 7}
    assert stats["queue"] == {"count": 4, "ns": 38}
    assert stats["compute_input"] == {"count": 4, "ns": 2}
    assert stats["compute_infer"] == {"count": 4, "ns": 43}
    assert stats["compute_output"] == {"count": 4, "ns": 4}
    one, five = found["batch_stats"]
    assert (one["batch_size"], one["compute_infer"]) == (1, {"count": 1, "ns": 3})
    assert (five["batch_size"], five["compute_infer"]) == (5, {"count": 2, "ns": 30})
    assert five["compute_input"] == {"count": 2, "ns": 1} and five["compute_output"] == {"count": 2, "ns": 2}
