"""Open loop: requests at times that do not depend on the answers, by the C program beside this; shared by scripts here.

Latency counts from the time when a request was due, so one that the load generator could not send counts as late too.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from measuring import ROOT

Times: TypeAlias = np.ndarray[tuple[int], np.dtype[np.int64]]
SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """For each request when it was due, how long it took (ns; -1: no answer) and its status."""

    due: Times
    latency: Times
    status: Times

    def between(self, begin_s: float, end_s: float) -> Outcome:
        """Those that were due in that time."""
        there = (self.due >= begin_s * SECOND) & (self.due < end_s * SECOND)
        return Outcome(self.due[there], self.latency[there], self.status[there])

    @property
    def served(self) -> Outcome:
        """Those answered with status 200."""
        there = self.status == 200
        return Outcome(self.due[there], self.latency[there], self.status[there])

    def within(self, target_ms: float) -> int:
        """How many were answered with status 200 in that time."""
        return int(((self.status == 200) & (self.latency <= target_ms * 1e6)).sum())

    def p(self, percent: float) -> float:
        """A percentile of the latency, ms."""
        return float(np.percentile(self.latency, percent)) / 1e6 if len(self.latency) else float("nan")

    def windows(self, target_ms: float, end_s: float) -> float:
        """The share of one-second windows in which 99 of 100 requests were answered within the target."""
        met = [
            w.within(target_ms) >= 0.99 * len(w.due)
            for s in range(int(end_s))
            if len((w := self.between(s, s + 1)).due)
        ]
        return sum(met) / len(met)

    def statuses(self) -> dict[str, int]:
        """How often each status came; 0: no answer."""
        return {str(status): int((self.status == status).sum()) for status in sorted(set(self.status.tolist()))}


class OpenLoop:
    """The program, compiled once, and one request."""

    def __init__(self, work: Path, request: bytes) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise SystemExit("a C compiler is needed: apt-get install gcc")
        self.work = work
        self.program = work / "open_loop"
        self.request = work / "request.bin"
        subprocess.run([compiler, "-O2", "-o", self.program, ROOT / "benchmarks" / "open_loop.c"], check=True)
        self.request.write_bytes(request)

    def run(self, port: int, due: Times, connections: int = 1024, grace_s: int = 5) -> Outcome:
        """Send a request at each of these times (ns from the start)."""
        schedule, out = self.work / "schedule.bin", self.work / "out.bin"
        due.astype("<i8").tofile(schedule)
        command = [*map(str, (self.program, port, connections, self.request, schedule, out, grace_s))]
        subprocess.run(command, check=True)
        found = np.fromfile(out, "<i8").reshape(-1, 2)
        return Outcome(due, found[:, 0], found[:, 1])


def poisson(rates: list[float], each_s: float, seed: int) -> Times:
    """When requests are due: Poisson arrivals at each of these rates a second in turn."""
    random = np.random.default_rng(seed)
    parts = []
    for i, rate in enumerate(rates):
        number = random.poisson(rate * each_s)
        parts.append(np.sort(random.uniform(i * each_s, (i + 1) * each_s, number)))
    return (np.concatenate(parts) * SECOND).astype(np.int64)
