"""Statistics: what one model version has done, as V2's statistics extension and /metrics report it. Nanoseconds."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence
from time import perf_counter_ns
from typing import Any, Literal, TypeAlias

from gantline.errors import GantlineError
from gantline.request import Request

from .telemetry.families import BATCH_BOUNDS
from .telemetry.histogram import Histogram
from .telemetry.reasons import TRITON, reason_of
from .telemetry.snapshot import Snapshot, add

MAX_SIZES = 256  # batch sizes told apart; clients choose them. Beyond, the next power of two stands for a size
MAX_RESPONSES = 256  # answers to one request told apart; the last stands for all that follow
SETTLE_EVERY = 256  # requests, after which one of the histograms is counted: so none holds up the loop for long
RESPONSE = ("compute_infer", "compute_output", "success", "fail", "empty_response", "cancel")
Ending: TypeAlias = Literal["success", "fail", "empty_response", "cancel"]
PHASES = ("parse", "queue", "assemble", "compute", "split", "encode")
TIMED = ("request", *PHASES)
Times: TypeAlias = tuple[int, int, int]
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
    """Counters of one model version, that one thread (the event loop) adds to. Durations are kept as histograms."""

    __slots__ = (
        "_ended", "_next", "_settle_at", "assemble", "batches", "cancelled", "compute", "encode", "execution_count",
        "fail_ns", "inference_count", "measured", "parse", "queue", "reasons", "rejections", "request", "requests",
        "responses", "split",
    )  # fmt: skip

    def __init__(self, measured: bool = True) -> None:
        """`measured` false: only what V2's statistics need, not what /metrics shows beside it."""
        self.measured = measured
        self.request = Histogram()  # from arrival to answer, of those that succeeded
        # a request's phases, one after the other; a batch's time is that of each of its requests, as Triton has it
        self.parse, self.queue, self.encode = Histogram(), Histogram(), Histogram()
        self.assemble, self.compute, self.split = Histogram(), Histogram(), Histogram()
        self.fail_ns = 0
        self.rejections: Counter[str] = Counter()  # requests that failed, by reason
        self.cancelled = 0  # clients that left before their request ran
        self.requests = 0  # that were executed, alone or in a batch
        self.inference_count = 0
        self.execution_count = 0
        self.reasons: Counter[str] = Counter()  # batches, by why they went
        self.batches: dict[int, BatchSize] = {}
        # by place among the answers to one request, of models that may give several
        self.responses: dict[int, dict[str, Duration]] = {}
        self._ended = 0  # of the last batch; perf_counter_ns
        self._settle_at = SETTLE_EVERY
        self._next = 0  # of TIMED, to be counted

    @property
    def last_ns(self) -> int:
        """When the last batch, or call of a script, ended (perf_counter_ns); 0 for never."""
        return self._ended

    @property
    def success_count(self) -> int:
        return self.request.count

    @property
    def fail_count(self) -> int:
        return self.rejections.total()

    def succeeded(self, ns: int, encode_ns: int = 0) -> None:
        """One request was answered, `ns` after it arrived; writing the answer took `encode_ns` of it."""
        self.request.observe(ns)
        if self.measured:
            self.encode.observe(encode_ns)

    def failed(self, ns: int, why: GantlineError | str) -> None:
        """One request was refused or failed, for an error or a reason of those in telemetry.reasons."""
        self.rejections[why if isinstance(why, str) else reason_of(why)] += 1
        self.fail_ns += ns

    def executed(
        self, requests: Sequence[Request], rows: int, started: int, times: Times, reason: str, again: bool = False
    ) -> None:
        """One batch ran, from `started` on (perf_counter_ns), and took `times`: assembling, computing, splitting.

        `again`: its request is too large for one batch, and this is not the first of them.
        """
        if again:
            self.reasons[reason] += 1
            self._ran(1, rows, started, times)
            return
        if len(requests) == 1:
            request = requests[0]
            self.queue.observe(started - request.queued)
            if self.measured:
                self.parse.observe(request.queued - request.arrived)
        else:
            self.queue.extend([started - request.queued for request in requests])
            if self.measured:
                self.parse.extend([request.queued - request.arrived for request in requests])
        self.reasons[reason] += 1
        self._ran(len(requests), rows, started, times)

    def scored(self, waited_ns: int, ran_ns: int) -> None:
        """One request ran by itself elsewhere, after so long."""
        self.queue.observe(waited_ns)
        self.reasons["single"] += 1
        self._ran(1, 1, perf_counter_ns() - ran_ns, (0, ran_ns, 0))

    def _ran(self, requests: int, rows: int, started: int, times: Times) -> None:
        assemble, compute, split = times
        self.execution_count += 1
        self.inference_count += rows
        self.requests += requests
        if requests == 1:
            self.assemble.observe(assemble)
            self.compute.observe(compute)
            self.split.observe(split)
        else:
            self.assemble.add(assemble, requests)
            self.compute.add(compute, requests)
            self.split.add(split, requests)
        if self.requests >= self._settle_at:
            self._settle_at = self.requests + SETTLE_EVERY
            self._next = (self._next + 1) % len(TIMED)
            getattr(self, TIMED[self._next]).settle()
        self._ended = started + assemble + compute + split
        size = self.batches.get(rows) or self._size(rows)
        size.count += 1
        size.input_ns += assemble
        size.infer_ns += compute
        size.output_ns += split

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
            "last_inference": self._last_inference_ms(),
            "inference_count": self.inference_count,
            "execution_count": self.execution_count,
            "inference_stats": {
                "success": _duration(self.success_count, self.request.total_ns),
                "fail": _duration(self.fail_count, self.fail_ns),
                "queue": _duration(self.queue.count, self.queue.total_ns),
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
        for phase in PHASES:
            add(out, "gantline_phase_seconds", getattr(self, phase).to_json(), name, version, phase)
        for reason, count in self.rejections.items():
            add(out, "gantline_rejections", count, name, version, reason)
        for reason, count in self.reasons.items():
            add(out, "gantline_dispatches", count, name, version, reason)
        add(out, "gantline_rows", self.inference_count, name, version)
        add(out, "gantline_batches", self.execution_count, name, version)
        add(out, "gantline_batch_rows", self._batch_rows(), name, version)
        self._measure_triton(out, name, version)

    def _measure_triton(self, out: Snapshot, name: str, version: str) -> None:
        add(out, "nv_inference_request_success", self.success_count, name, version)
        failures = Counter({"CANCELED": self.cancelled, "REJECTED": 0, "BACKEND": 0, "OTHER": 0})
        for reason, count in self.rejections.items():
            failures[TRITON.get(reason, "OTHER")] += count
        for reason, count in failures.items():
            add(out, "nv_inference_request_failure", count, name, version, reason)
        for key, value in (
            ("count", self.inference_count),
            ("exec_count", self.execution_count),
            ("request_duration_us", self.request.total_ns),
            ("queue_duration_us", self.queue.total_ns),
            ("compute_input_duration_us", self.assemble.total_ns),
            ("compute_infer_duration_us", self.compute.total_ns),
            ("compute_output_duration_us", self.split.total_ns),
        ):
            add(out, f"nv_inference_{key}", value, name, version)

    def _last_inference_ms(self) -> int:
        """Since 1970; 0 for never."""
        return (time.time_ns() - (perf_counter_ns() - self._ended)) // 1_000_000 if self._ended else 0

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
