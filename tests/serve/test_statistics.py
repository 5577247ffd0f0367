"""Statistics: the counters that perf_analyzer reads, in Triton's meaning of each."""

from __future__ import annotations

from gantline.serve.statistics import Statistics


def test_a_new_model_has_every_field_at_zero() -> None:
    found = Statistics().to_json("m", "2")
    assert (found["name"], found["version"], found["last_inference"]) == ("m", "2", 0)
    assert set(found["inference_stats"]) == {
        "success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss",
    }  # fmt: skip
    assert all(d == {"count": 0, "ns": 0} for d in found["inference_stats"].values())
    assert found["batch_stats"] == found["memory_usage"] == []


def test_each_request_of_a_batch_is_charged_the_whole_batch() -> None:
    statistics = Statistics()
    statistics.executed(3, 6, 90, 10, 100, 20)
    found = statistics.to_json("m", "1")
    assert (found["inference_count"], found["execution_count"]) == (6, 1)
    assert found["inference_stats"]["queue"] == {"count": 3, "ns": 90}
    assert found["inference_stats"]["compute_input"] == {"count": 3, "ns": 30}
    assert found["inference_stats"]["compute_infer"] == {"count": 3, "ns": 300}
    assert found["inference_stats"]["compute_output"] == {"count": 3, "ns": 60}
    assert found["last_inference"] > 0


def test_batches_are_counted_by_their_rows() -> None:
    statistics = Statistics()
    statistics.executed(1, 8, 0, 1, 2, 3)
    statistics.executed(2, 4, 0, 1, 2, 3)
    statistics.executed(4, 4, 0, 1, 2, 3)
    four, eight = statistics.to_json("m", "1")["batch_stats"]
    assert (four["batch_size"], eight["batch_size"]) == (4, 8)
    assert four["compute_infer"] == {"count": 2, "ns": 4}
    assert eight["compute_output"] == {"count": 1, "ns": 3}


def test_answers_and_refusals_are_told_apart() -> None:
    statistics = Statistics()
    statistics.succeeded(5)
    statistics.succeeded(6)
    statistics.failed(7)
    found = statistics.to_json("m", "1")["inference_stats"]
    assert (found["success"], found["fail"]) == ({"count": 2, "ns": 11}, {"count": 1, "ns": 7})
