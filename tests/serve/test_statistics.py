"""What perf_analyzer dereferences is there, and adds up."""

from __future__ import annotations

import json
import time
from time import perf_counter_ns
from typing import Any

from gantline.serve.statistics import (
    MAX_RESPONSES,
    MAX_SIZES,
    PHASES,
    SETTLE_EVERY,
    TIMED,
    Statistics,
    merge_statistics,
)
from gantline.serve.telemetry.snapshot import Snapshot, merge
from google.protobuf import json_format

from gantline.errors import BadRequest, DeadlineExceeded, EngineFailed, Unavailable
from gantline.pb import message
from gantline.request import Request

START = 10**12


def test_every_field_from_the_start() -> None:
    found = Statistics().to_json("m", "1")
    assert found == json.loads(json.dumps(found))
    assert (found["name"], found["version"], found["last_inference"]) == ("m", "1", 0)
    assert set(found["inference_stats"]) == {
        "success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss",
    }  # fmt: skip
    assert all(d == {"count": 0, "ns": 0} for d in found["inference_stats"].values())
    assert found["batch_stats"] == [] and found["memory_usage"] == [] and found["response_stats"] == {}


def test_no_field_of_the_protocol_is_missing() -> None:
    """perf_analyzer dereferences every one of them; the messages of the protocol tell which there are."""
    statistics = Statistics()
    statistics.executed(batch(5), 1, START, (1, 2, 3), "idle")
    statistics.responded(0, 5, 1)
    found = statistics.to_json("m", "1", [{"type": "CPU", "id": 0, "byte_size": 100}])
    assert missing(found, message("inference.ModelStatistics").DESCRIPTOR) == []
    filled = json_format.ParseDict(found, message("inference.ModelStatistics")())  # nor is there one too many
    assert filled.inference_stats.queue.ns == 5 and filled.response_stats["0"].success.count == 1


def missing(tree: Any, descriptor: Any, where: str = "") -> list[str]:
    """Fields of a message that a JSON document does not have, as deep as it goes."""
    found = []
    for field in descriptor.fields:
        path = f"{where}.{field.name}"
        if field.name not in tree:
            found.append(path)
        elif field.message_type is not None:
            value = tree[field.name]
            if field.message_type.GetOptions().map_entry:
                for inner in value.values():
                    found += missing(inner, field.message_type.fields_by_name["value"].message_type, path)
            else:
                for inner in value if isinstance(value, list) else [value]:
                    found += missing(inner, field.message_type, path)
    return found


def batch(*waits: int, parse_ns: int = 10) -> list[Request]:
    """Requests that were queued so long before START, and parsed before that."""
    return [Request({}, arrived=START - wait - parse_ns, queued=START - wait) for wait in waits]


def test_a_batch_is_charged_to_each_of_its_requests() -> None:
    statistics = Statistics()
    statistics.executed(batch(10, 20), 5, START, (1, 10, 2), "full")
    statistics.executed(batch(7), 5, START, (0, 20, 0), "idle")
    statistics.scored(1, 3)
    statistics.succeeded(100, 5)
    statistics.succeeded(50, 5)
    statistics.failed(7, BadRequest("no"))
    found = statistics.to_json("m", "1")
    assert (found["inference_count"], found["execution_count"]) == (11, 3)
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


def test_the_last_inference_is_told_in_ms_since_1970() -> None:
    statistics = Statistics()
    began = perf_counter_ns()
    before = time.time_ns() // 1_000_000
    statistics.executed(batch(0), 1, began, (0, 0, 0), "idle")
    found = statistics.to_json("m", "1")["last_inference"]
    assert before - 1000 < found < time.time_ns() // 1_000_000 + 1000  # of two clocks, one of which may be set


def test_the_sizes_that_clients_choose_are_bounded() -> None:
    statistics = Statistics()
    for rows in range(1, 5000):
        statistics.executed(batch(0), rows, START, (0, 1, 0), "idle")
    found = statistics.to_json("m", "1")["batch_stats"]
    assert len(found) < MAX_SIZES + 10 and [row["batch_size"] for row in found][-1] == 8192
    assert sum(row["compute_infer"]["count"] for row in found) == 4999
    assert len(found) == len({row["batch_size"] for row in found})


def test_several_answers_to_one_request() -> None:
    statistics = Statistics()
    statistics.responded(0, 10, 1)
    statistics.responded(0, 20, 2)
    statistics.responded(1, 5, 0, "empty_response")
    statistics.responded(1, 7, 3, "fail")
    statistics.responded(2, 9, 0, "cancel")
    for index in range(3, 10_000):
        statistics.responded(index, 1, 0)
    found = statistics.to_json("m", "1")["response_stats"]
    assert set(found["0"]) == {"compute_infer", "compute_output", "success", "fail", "empty_response", "cancel"}
    assert found["0"]["success"] == {"count": 2, "ns": 33} and found["0"]["compute_output"] == {"count": 2, "ns": 3}
    assert found["1"]["empty_response"] == {"count": 1, "ns": 5} and found["1"]["fail"] == {"count": 1, "ns": 10}
    assert found["1"]["compute_output"] == {"count": 1, "ns": 3} and found["2"]["cancel"]["count"] == 1
    assert len(found) == MAX_RESPONSES
    assert found[str(MAX_RESPONSES - 1)]["success"]["count"] == 10_000 - MAX_RESPONSES + 1


def test_a_histogram_holds_no_more_than_it_has_to() -> None:
    statistics = Statistics()
    for _ in range(5000):
        statistics.succeeded(1000, 10)
        statistics.executed(batch(5), 1, START, (0, 1000, 0), "idle")
    for name in ("request", *PHASES):
        assert len(getattr(statistics, name)._pending) <= SETTLE_EVERY * len(TIMED), name
        assert getattr(statistics, name).count == 5000


def test_what_only_metrics_show_can_be_left_unmeasured() -> None:
    statistics = Statistics(measured=False)
    statistics.executed(batch(5, 6), 2, START, (1, 2, 3), "idle")
    statistics.succeeded(1000, 10)
    assert statistics.parse.count == statistics.encode.count == 0
    assert statistics.to_json("m", "1")["inference_stats"]["queue"] == {"count": 2, "ns": 11}


def test_metrics_say_the_same_as_the_statistics() -> None:
    statistics = Statistics()
    statistics.executed(batch(10, 20, parse_ns=1500), 5, START, (1000, 10_000, 2000), "full")
    statistics.executed(batch(7), 2000, START, (0, 20_000, 0), "idle")
    statistics.succeeded(100, 30)
    for error in (BadRequest("no"), BadRequest("no"), DeadlineExceeded("late"), EngineFailed("broken")):
        statistics.failed(7, error)
    statistics.failed(7, Unavailable("full", "queue_full"))
    statistics.cancelled += 1
    out: Snapshot = {}
    statistics.measure(out, "m", "1")
    found = {(name, *labels): value for name, rows in merge([out]).items() for labels, value in rows}
    sums = {phase: found["gantline_phase_seconds", "m", "1", phase]["sum"] for phase in PHASES}
    assert sums == {"parse": 3010, "queue": 37, "assemble": 2000, "compute": 40_000, "split": 4000, "encode": 30}
    assert sum(found["gantline_phase_seconds", "m", "1", "assemble"]["counts"]) == 3
    rows = found["gantline_batch_rows", "m", "1"]
    assert rows["sum"] == 2005 and rows["counts"][3] == 1 and rows["counts"][-1] == 1 and sum(rows["counts"]) == 2
    assert found["nv_inference_compute_infer_duration_us", "m", "1"] == 40_000
    assert {k[3]: v for k, v in found.items() if k[0] == "gantline_rejections"} == {
        "bad_request": 2, "deadline": 1, "engine": 1, "queue_full": 1,
    }  # fmt: skip
    assert {k[3]: v for k, v in found.items() if k[0] == "nv_inference_request_failure"} == {
        "CANCELED": 1, "REJECTED": 2, "BACKEND": 1, "OTHER": 2,
    }  # fmt: skip
    assert {k[3]: v for k, v in found.items() if k[0] == "gantline_dispatches"} == {"full": 1, "idle": 1}


def test_the_statistics_of_workers_add_up() -> None:
    one, other = Statistics(), Statistics()
    one.executed(batch(10, 20), 5, START, (1, 10, 2), "full")
    other.executed(batch(1), 5, START, (1, 1, 1), "idle")
    other.executed(batch(1), 1, START, (1, 1, 1), "idle")
    for statistics in (one, other):
        statistics.succeeded(10)
        statistics.responded(0, 5, 1)
    memory = [{"type": "CPU", "id": 0, "byte_size": 100}]
    a, b = one.to_json("m", "2", memory), other.to_json("m", "2", memory)
    only = Statistics().to_json("m", "10")
    (merged, alone) = merge_statistics([[a], [only, b]])
    assert alone == only and set(merged) == set(a)
    assert (merged["inference_count"], merged["execution_count"]) == (11, 3)
    assert merged["inference_stats"]["success"] == {"count": 2, "ns": 20}
    assert merged["inference_stats"]["compute_infer"] == {"count": 4, "ns": 22}
    assert [(r["batch_size"], r["compute_infer"]) for r in merged["batch_stats"]] == [
        (1, {"count": 1, "ns": 1}), (5, {"count": 2, "ns": 11}),
    ]  # fmt: skip
    assert merged["response_stats"]["0"]["success"] == {"count": 2, "ns": 12}
    assert merged["memory_usage"] == [{"type": "CPU", "id": 0, "byte_size": 200}]
    assert merged["last_inference"] == max(a["last_inference"], b["last_inference"])
    assert merge_statistics([[a]]) == [a]
