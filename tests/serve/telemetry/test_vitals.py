"""How the process is, beside what the system says of it elsewhere."""

from __future__ import annotations

import resource
import subprocess
import sys
import time

from gantline.serve.telemetry.snapshot import Snapshot
from gantline.serve.telemetry.vitals import TICK_S, Vitals


def read(vitals: Vitals) -> dict[str, int]:
    out: Snapshot = {}
    vitals.read(out)
    return {name: value for name, rows in out.items() for _, value in rows}


# in a process of its own: in this one, servers on threads of other tests open and close files when they like
FILES = """
import os
from gantline.serve.telemetry.vitals import Vitals

def count():
    out = {}
    Vitals().read(out)
    return out["process_open_fds"][0][1], out["process_threads"][0][1]

before = count()
ends = os.pipe()
print(*before, *count())
"""


def test_the_process_as_the_system_sees_it() -> None:
    before = time.process_time_ns()
    found = read(Vitals())
    assert before <= found["process_cpu_seconds"] <= time.process_time_ns()
    assert found["process_max_fds"] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert 20 << 20 < found["process_resident_memory_bytes"] <= peak * 1.05
    assert found["process_virtual_memory_bytes"] > found["process_resident_memory_bytes"]
    now = time.time_ns()
    assert now - 24 * 3600 * 10**9 < found["process_start_time_seconds"] < now + 2 * 10**9


def test_files_that_are_opened_are_counted() -> None:
    done = subprocess.run([sys.executable, "-c", FILES], capture_output=True, text=True, check=True, timeout=60)
    before, threads, after, threads_after = map(int, done.stdout.split())
    assert after == before + 2 and threads == threads_after == 1


def test_lag_is_what_comes_on_top_of_a_tick() -> None:
    vitals = Vitals()
    tick = round(TICK_S * 1e9)
    now = 10**9
    vitals.tick(now)  # the first has nothing to be compared with
    for late in (0, 5_000_000, 0, -1000):
        now += tick + late
        vitals.tick(now)
    assert vitals.lag.count == 4 and vitals.lag.total_ns == 5_000_000
