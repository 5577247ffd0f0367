"""How the process is, beside what the system says of it elsewhere."""

from __future__ import annotations

import os
import resource
import threading
import time

from gantline.serve.telemetry.snapshot import Snapshot
from gantline.serve.telemetry.vitals import TICK_S, Vitals


def read(vitals: Vitals) -> dict[str, int]:
    out: Snapshot = {}
    vitals.read(out)
    return {name: value for name, rows in out.items() for _, value in rows}


def test_the_process_as_the_system_sees_it() -> None:
    before = time.process_time_ns()
    found = read(Vitals())
    assert before <= found["process_cpu_seconds"] <= time.process_time_ns()
    assert found["process_threads"] == threading.active_count()
    assert found["process_max_fds"] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert peak / 10 < found["process_resident_memory_bytes"] <= peak * 1.05
    assert found["process_virtual_memory_bytes"] > found["process_resident_memory_bytes"]
    now = time.time_ns()
    assert now - 3600 * 10**9 < found["process_start_time_seconds"] < now + 2 * 10**9


def test_files_that_are_opened_are_counted() -> None:
    vitals = Vitals()
    before = read(vitals)["process_open_fds"]
    read_end, write_end = os.pipe()
    try:
        assert read(vitals)["process_open_fds"] == before + 2
    finally:
        os.close(read_end)
        os.close(write_end)


def test_lag_is_what_comes_on_top_of_a_tick() -> None:
    vitals = Vitals()
    tick = round(TICK_S * 1e9)
    now = 10**9
    vitals.tick(now)  # the first has nothing to be compared with
    for late in (0, 5_000_000, 0, -1000):
        now += tick + late
        vitals.tick(now)
    assert vitals.lag.count == 4 and vitals.lag.total_ns == 5_000_000
