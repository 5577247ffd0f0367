"""Statistics: what one model version has done, as V2's statistics extension and /metrics report it. Nanoseconds."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from .telemetry.families import BATCH_BOUNDS
from .telemetry.histogram import Histogram
from .telemetry.snapshot import Snapshot, add

MAX_SIZES = 256  # batch sizes told apart; clients choose them. Beyond, the next power of two stands for a size
MAX_RESPONSES = 256  # answers to one request told apart; the last stands for all that follow
SETTLE_EVERY = 512  # requests: the histograms' values that wait to be counted are bounded by it
RESPONSE = ("compute_infer", "compute_output", "success", "fail", "empty_response", "cancel")
Ending: TypeAlias = Literal["success", "fail", "empty_response", "cancel"]
Json: TypeAlias = dict[str, Any]


class Duration:
    """How often something happened and what it took in all, as V2 tells it."""

    __slots__ = ("count", "ns")

    def __init__(self) -> None:
        self.count = self.ns = 0

    def add(self, ns: int) -> None:
        self.count += 1
        self.ns += ns

    def to_json(self) -> Json:
        return {"count": self.count, "ns": self.ns}


class BatchSize:
    """How often a batch of one size ran, and what it took in all."""

    __slots__ = ("count", "infer_ns", "input_ns", "output_ns")

    def __init__(self) -> None:
        self.count = self.input_ns = self.infer_ns = self.output_ns = 0


class Statistics:
    """Counters of one model version, that one thread (the event loop) adds to."""

    __slots__ = (
        "_settle_at", "assemble", "batches", "cancelled", "compute", "execution_count", "expired", "fail_count",
        "fail_ns", "inference_count", "last_inference_ms", "queue_ns", "request", "requests", "responses", "split",
    )  # fmt: skip

    def __init__(self) -> None:
        self.request = Histogram()  # from arrival to answer, of those that succeeded
        self.fail_count = self.fail_ns = 0
        self.cancelled = 0  # clients that left before their request ran
        self.expired = 0  # requests whose deadline passed
        self.requests = 0  # that were executed, alone or in a batch
        self.queue_ns = 0
        # each batch's time is that of each of its requests, as Triton has it
        self.assemble, self.compute, self.split = Histogram(), Histogram(), Histogram()
        self._settle_at = SETTLE_EVERY
        self.inference_count = 0
        self.execution_count = 0
        self.last_inference_ms = 0
        self.batches: dict[int, BatchSize] = {}
        # by place among the answers to one request, of models that may give several
        self.responses: dict[int, dict[str, Duration]] = {}

    @property
    def success_count(self) -> int:
        return self.request.count

    def succeeded(self, ns: int) -> None:
        """One request was answered, `ns` after it arrived."""
        self.request.observe(ns)

    def failed(self, ns: int) -> None:
        """One request was refused or failed."""
        self.fail_count += 1
        self.fail_ns += ns

    def executed(self, requests: int, rows: int, queue_ns: int, input_ns: int, infer_ns: int, output_ns: int) -> None:
        """One batch ran. `queue_ns` is the sum over its requests; the others are the batch's own."""
        self.execution_count += 1
        self.inference_count += rows
        self.requests += requests
        self.queue_ns += queue_ns
        if requests == 1:
            self.assemble.observe(input_ns)
            self.compute.observe(infer_ns)
            self.split.observe(output_ns)
        else:
            self.assemble.add(input_ns, requests)
            self.compute.add(infer_ns, requests)
            self.split.add(output_ns, requests)
        if self.requests >= self._settle_at:
            self._settle()
        self.last_inference_ms = time.time_ns() // 1_000_000
        size = self.batches.get(rows) or self._size(rows)
        size.count += 1
        size.input_ns += input_ns
        size.infer_ns += infer_ns
        size.output_ns += output_ns

    def responded(self, index: int, infer_ns: int, output_ns: int, ending: Ending = "success") -> None:
        """One of several answers to one request: its place among them from 0, and what it took since the last."""
        stats = self.responses.setdefault(min(index, MAX_RESPONSES - 1), {key: Duration() for key in RESPONSE})
        stats["compute_infer"].add(infer_ns)
        if ending in ("success", "fail"):
            stats["compute_output"].add(output_ns)
        stats[ending].add(infer_ns + output_ns)

    def to_json(self, name: str, version: str, memory: Sequence[Json] = ()) -> Json:
        """One entry of "model_stats". Every field is there: perf_analyzer dereferences them all."""
        n = self.requests
        return {
            "name": name,
            "version": version,
            "last_inference": self.last_inference_ms,
            "inference_count": self.inference_count,
            "execution_count": self.execution_count,
            "inference_stats": {
                "success": _duration(self.success_count, self.request.total_ns),
                "fail": _duration(self.fail_count, self.fail_ns),
                "queue": _duration(n, self.queue_ns),
                "compute_input": _duration(n, self.assemble.total_ns),
                "compute_infer": _duration(n, self.compute.total_ns),
                "compute_output": _duration(n, self.split.total_ns),
                "cache_hit": _duration(0, 0),
                "cache_miss": _duration(0, 0),
            },
            "response_stats": {
                str(index): {key: d.to_json() for key, d in stats.items()}
                for index, stats in sorted(self.responses.items())
            },
            "batch_stats": [
                {
                    "batch_size": rows,
                    "compute_input": _duration(b.count, b.input_ns),
                    "compute_infer": _duration(b.count, b.infer_ns),
                    "compute_output": _duration(b.count, b.output_ns),
                }
                for rows, b in sorted(self.batches.items())
            ],
            "memory_usage": list(memory),
        }

    def measure(self, out: Snapshot, name: str, version: str) -> None:
        """Add this version's rows of the counters and histograms."""
        for outcome, count in (
            ("success", self.success_count),
            ("fail", self.fail_count),
            ("cancelled", self.cancelled),
        ):
            add(out, "gantline_requests", count, name, version, outcome)
        add(out, "gantline_request_seconds", self.request.to_json(), name, version)
        for phase in ("assemble", "compute", "split"):
            add(out, "gantline_phase_seconds", getattr(self, phase).to_json(), name, version, phase)
        add(out, "gantline_rows", self.inference_count, name, version)
        add(out, "gantline_batches", self.execution_count, name, version)
        add(out, "gantline_batch_rows", self._batch_rows(), name, version)
        self._measure_triton(out, name, version)

    def _measure_triton(self, out: Snapshot, name: str, version: str) -> None:
        add(out, "nv_inference_request_success", self.success_count, name, version)
        for reason, count in (("CANCELED", self.cancelled), ("OTHER", self.fail_count)):
            add(out, "nv_inference_request_failure", count, name, version, reason)
        for key, value in (
            ("count", self.inference_count),
            ("exec_count", self.execution_count),
            ("request_duration_us", self.request.total_ns),
            ("queue_duration_us", self.queue_ns),
            ("compute_input_duration_us", self.assemble.total_ns),
            ("compute_infer_duration_us", self.compute.total_ns),
            ("compute_output_duration_us", self.split.total_ns),
        ):
            add(out, f"nv_inference_{key}", value, name, version)

    def _settle(self) -> None:
        self._settle_at = self.requests + SETTLE_EVERY
        for one in (self.request, self.assemble, self.compute, self.split):
            one.settle()

    def _size(self, rows: int) -> BatchSize:
        if len(self.batches) >= MAX_SIZES:
            rows = 1 << (rows - 1).bit_length()
        return self.batches.setdefault(rows, BatchSize())

    def _batch_rows(self) -> Json:
        counts = [0] * (len(BATCH_BOUNDS) + 1)
        for rows, batch in self.batches.items():
            counts[bisect_left(BATCH_BOUNDS, rows)] += batch.count
        return {"counts": counts, "sum": self.inference_count}


def merge_statistics(answers: list[list[Json]]) -> list[Json]:
    """The "model_stats" of several workers as one server would tell them."""
    found: dict[tuple[str, str], Json] = {}
    for entry in (e for answer in answers for e in answer):
        key = entry["name"], entry["version"]
        found[key] = _both(found[key], entry) if key in found else entry
    return [found[key] for key in sorted(found, key=lambda k: (k[0], int(k[1])))]


def _both(a: Json, b: Json) -> Json:
    return a | {
        "last_inference": max(a["last_inference"], b["last_inference"]),
        "inference_count": a["inference_count"] + b["inference_count"],
        "execution_count": a["execution_count"] + b["execution_count"],
        "inference_stats": _sum([a["inference_stats"], b["inference_stats"]]),
        "response_stats": _sum([a["response_stats"], b["response_stats"]]),
        "batch_stats": _rows([*a["batch_stats"], *b["batch_stats"]], ("batch_size",)),
        "memory_usage": _rows([*a["memory_usage"], *b["memory_usage"]], ("type", "id")),
    }


def _sum(trees: list[Any]) -> Any:
    """Numbers added up wherever they stand in trees of objects, which need not have the same branches."""
    if not isinstance(trees[0], dict):
        return sum(trees)
    branches: dict[str, list[Any]] = defaultdict(list)
    for tree in trees:
        for key, value in tree.items():
            branches[key].append(value)
    return {key: _sum(values) for key, values in branches.items()}


def _rows(rows: list[Json], named: tuple[str, ...]) -> list[Json]:
    """Rows with the same names added up, in order of them."""
    groups: dict[tuple[Any, ...], list[Json]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[n] for n in named)].append({k: v for k, v in row.items() if k not in named})
    return [dict(zip(named, key, strict=True)) | _sum(groups[key]) for key in sorted(groups)]


def _duration(count: int, ns: int) -> Json:
    return {"count": count, "ns": ns}
