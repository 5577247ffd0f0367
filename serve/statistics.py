"""Statistics: what one model version has done, as V2's statistics extension reports it. Times in nanoseconds."""

from __future__ import annotations

import time
from typing import Any


class BatchSize:
    """How often a batch of one size ran, and what it took in all."""

    __slots__ = ("count", "infer_ns", "input_ns", "output_ns")

    def __init__(self) -> None:
        self.count = self.input_ns = self.infer_ns = self.output_ns = 0


class Statistics:
    """Counters of one model version, plain integers that one thread (the event loop) adds to."""

    __slots__ = (
        "batches", "cancelled", "execution_count", "fail_count", "fail_ns", "infer_ns", "inference_count", "input_ns",
        "last_inference_ms", "output_ns", "queue_ns", "requests", "success_count", "success_ns",
    )  # fmt: skip

    def __init__(self) -> None:
        self.success_count = self.success_ns = 0
        self.fail_count = self.fail_ns = 0
        self.cancelled = 0  # clients that left before their request ran
        self.requests = 0  # that were executed, alone or in a batch
        self.queue_ns = self.input_ns = self.infer_ns = self.output_ns = 0
        self.inference_count = 0
        self.execution_count = 0
        self.last_inference_ms = 0
        self.batches: dict[int, BatchSize] = {}

    def succeeded(self, ns: int) -> None:
        """One request was answered, `ns` after it arrived."""
        self.success_count += 1
        self.success_ns += ns

    def failed(self, ns: int) -> None:
        """One request was refused or failed."""
        self.fail_count += 1
        self.fail_ns += ns

    def executed(self, requests: int, rows: int, queue_ns: int, input_ns: int, infer_ns: int, output_ns: int) -> None:
        """One batch ran. Each of its requests is charged the whole batch's time, as Triton does.

        `queue_ns` is the sum over its requests; the others are the batch's own.
        """
        self.execution_count += 1
        self.inference_count += rows
        self.requests += requests
        self.queue_ns += queue_ns
        self.input_ns += input_ns * requests
        self.infer_ns += infer_ns * requests
        self.output_ns += output_ns * requests
        self.last_inference_ms = time.time_ns() // 1_000_000
        size = self.batches.get(rows)
        if size is None:
            size = self.batches[rows] = BatchSize()
        size.count += 1
        size.input_ns += input_ns
        size.infer_ns += infer_ns
        size.output_ns += output_ns

    def to_json(self, name: str, version: str) -> dict[str, Any]:
        """One entry of "model_stats". Every field is there: perf_analyzer dereferences them all."""
        n = self.requests
        return {
            "name": name,
            "version": version,
            "last_inference": self.last_inference_ms,
            "inference_count": self.inference_count,
            "execution_count": self.execution_count,
            "inference_stats": {
                "success": _duration(self.success_count, self.success_ns),
                "fail": _duration(self.fail_count, self.fail_ns),
                "queue": _duration(n, self.queue_ns),
                "compute_input": _duration(n, self.input_ns),
                "compute_infer": _duration(n, self.infer_ns),
                "compute_output": _duration(n, self.output_ns),
                "cache_hit": _duration(0, 0),
                "cache_miss": _duration(0, 0),
            },
            "response_stats": {},
            "batch_stats": [
                {
                    "batch_size": rows,
                    "compute_input": _duration(b.count, b.input_ns),
                    "compute_infer": _duration(b.count, b.infer_ns),
                    "compute_output": _duration(b.count, b.output_ns),
                }
                for rows, b in sorted(self.batches.items())
            ],
            "memory_usage": [],
        }


def _duration(count: int, ns: int) -> dict[str, int]:
    return {"count": count, "ns": ns}
