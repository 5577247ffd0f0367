"""Statistics: what one model version has done, as V2's statistics extension reports it. Times in nanoseconds."""

from __future__ import annotations

import time
from typing import Any


class Duration:
    """How often something happened, and how long it took in all."""

    __slots__ = ("count", "ns")

    def __init__(self) -> None:
        self.count = 0
        self.ns = 0

    def add(self, ns: int, count: int = 1) -> None:
        self.count += count
        self.ns += ns

    def to_json(self) -> dict[str, int]:
        return {"count": self.count, "ns": self.ns}


class BatchSize:
    """What batches of one size took."""

    __slots__ = ("compute_infer", "compute_input", "compute_output")

    def __init__(self) -> None:
        self.compute_input = Duration()
        self.compute_infer = Duration()
        self.compute_output = Duration()


class Statistics:
    """Counters of one model version. One thread (the event loop) writes them."""

    __slots__ = (
        "batches", "cancelled", "compute_infer", "compute_input", "compute_output", "execution_count", "fail",
        "inference_count", "last_inference_ms", "queue", "success",
    )  # fmt: skip

    def __init__(self) -> None:
        self.success = Duration()
        self.fail = Duration()
        self.queue = Duration()
        self.compute_input = Duration()
        self.compute_infer = Duration()
        self.compute_output = Duration()
        self.cancelled = 0
        self.inference_count = 0
        self.execution_count = 0
        self.last_inference_ms = 0
        self.batches: dict[int, BatchSize] = {}

    def executed(self, requests: int, rows: int, assemble_ns: int, infer_ns: int, split_ns: int) -> None:
        """One batch ran. Each of its requests is charged the whole batch's time, as Triton does."""
        self.execution_count += 1
        self.inference_count += rows
        self.last_inference_ms = time.time_ns() // 1_000_000
        self.compute_input.add(assemble_ns * requests, requests)
        self.compute_infer.add(infer_ns * requests, requests)
        self.compute_output.add(split_ns * requests, requests)
        size = self.batches.get(rows)
        if size is None:
            size = self.batches[rows] = BatchSize()
        size.compute_input.add(assemble_ns)
        size.compute_infer.add(infer_ns)
        size.compute_output.add(split_ns)

    def to_json(self, name: str, version: str) -> dict[str, Any]:
        """One entry of "model_stats". Every field is there: perf_analyzer dereferences them all."""
        zero = {"count": 0, "ns": 0}
        return {
            "name": name,
            "version": version,
            "last_inference": self.last_inference_ms,
            "inference_count": self.inference_count,
            "execution_count": self.execution_count,
            "inference_stats": {
                "success": self.success.to_json(),
                "fail": self.fail.to_json(),
                "queue": self.queue.to_json(),
                "compute_input": self.compute_input.to_json(),
                "compute_infer": self.compute_infer.to_json(),
                "compute_output": self.compute_output.to_json(),
                "cache_hit": zero,
                "cache_miss": zero,
            },
            "response_stats": {},
            "batch_stats": [
                {
                    "batch_size": rows,
                    "compute_input": b.compute_input.to_json(),
                    "compute_infer": b.compute_infer.to_json(),
                    "compute_output": b.compute_output.to_json(),
                }
                for rows, b in sorted(self.batches.items())
            ],
            "memory_usage": [],
        }
