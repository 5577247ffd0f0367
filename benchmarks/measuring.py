"""Measuring: processes started and watched, wrk read, results written; shared by the scripts beside it."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw: requests a second, latencies in ms, answers that were not 2xx, and answers in all."""

    per_second: float
    p50_ms: float
    p99_ms: float
    failed: int
    requests: int


class Process:
    """A server of ours or of somebody else's, for the time of a with block; its whole group ends with it."""

    def __init__(self, command: Sequence[str | os.PathLike[str]], **environment: str) -> None:
        self.command = [str(word) for word in command]
        self.environment = {**os.environ, **environment}
        self.started = 0.0

    def __enter__(self) -> Process:
        self.started = time.perf_counter()
        self._process = subprocess.Popen(
            self.command,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        for one in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, one)
                self._process.wait(10)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
        assert self._process.stderr is not None
        self._process.stderr.close()

    def terminate(self) -> None:
        """SIGTERM, as an operator stops a server."""
        self._process.terminate()

    def wait(self, within_s: float = 30.0) -> int:
        """The exit code, once it has ended."""
        return self._process.wait(within_s)

    def answers(self, url: str, body: bytes | None = None, within_s: float = 60.0) -> float:
        """Seconds from the start to the first answer with status 200."""
        headers = {"Content-Type": "application/json"}
        while time.perf_counter() - self.started < within_s:
            if self._process.poll() is not None:
                assert self._process.stderr is not None
                raise SystemExit(f"{self.command} ended: {self._process.stderr.read().decode()[-2000:]}")
            try:
                with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=5) as answer:
                    if answer.status == 200:
                        return time.perf_counter() - self.started
            except (urllib.error.URLError, OSError):
                time.sleep(0.005)
        raise SystemExit(f"{self.command}: no answer at {url} within {within_s:.0f} s")

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu_ns(self) -> int:
        """CPU time that the process itself has used, all its threads together, as the scheduler counts it."""
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks)

    def rss_mb(self) -> float:
        """Resident memory of the whole process group, in MB (shared pages counted once for each process)."""
        listed = subprocess.run(
            ["ps", "-o", "rss=", "-g", str(self._process.pid)], capture_output=True, text=True, check=True
        )
        return sum(map(int, listed.stdout.split())) / 1024

    def cpu_s(self) -> float:
        """Processor time that the process has used, in s, without its children: the same however busy the machine."""
        words = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def rss_by_process_mb(self) -> list[float]:
        """Resident memory of each process of the group, in MB, the largest first."""
        listed = subprocess.run(
            ["ps", "-o", "rss=", "-g", str(self._process.pid)], capture_output=True, text=True, check=True
        )
        return sorted((int(k) / 1024 for k in listed.stdout.split()), reverse=True)


def wrk(url: str, body: bytes, connections: int, seconds: float, work: Path) -> Load:
    """One run of `wrk -t1` that posts the same JSON body over and over."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed; Debian has it: apt-get install wrk")
    script = work / "post.lua"
    text = body.decode().replace("\\", "\\\\").replace("'", "\\'")
    script.write_text(f"wrk.method='POST'\nwrk.headers['Content-Type']='application/json'\nwrk.body='{text}'\n")
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}", "--latency", "-s", str(script), url]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    lost = sum(map(int, errors.groups())) if errors else 0
    return Load(
        _number(r"Requests/sec:\s+([\d.]+)", out),
        _ms("50%", out),
        _ms("99%", out),
        lost + int(failed[1] if failed else 0),
        int(_number(r"(\d+) requests in", out)),
    )


def free_port() -> int:
    """A port that is free now on loopback."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def gantline_serve(*refs: str | os.PathLike[str], port: int) -> Process:
    """`gantline serve` of this checkout."""
    return Process([sys.executable, "-m", "gantline", "serve", *map(str, refs), "--http-port", str(port)])


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    cpu = next(
        (x.split(":")[1].strip() for x in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in x), "?"
    )
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "kernel": platform.release().split("-")[0],
        "load_before": round(os.getloadavg()[0], 2),
    }


def write(name: str, command: str, compared: str, figures: dict[str, Any]) -> None:
    """Write benchmarks/results/NAME.json."""
    RESULTS.mkdir(exist_ok=True)
    tree = {"benchmark": name, "command": command, "compared_with": compared, "machine": machine(), **figures}
    (RESULTS / f"{name}.json").write_text(json.dumps(tree, indent=1) + "\n")
    sys.stdout.write(f"written: benchmarks/results/{name}.json\n")


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*(f"{v:,.2f}" if isinstance(v, float) else str(v) for v in row))
    console = Console()
    console.width = max(console.width, 120)
    console.print(table)


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    return float(found[1]) if found else float("nan")


def _ms(percentile: str, text: str) -> float:
    found = re.search(rf"{percentile}\s+([\d.]+)(us|ms|s)\b", text)
    return float(found[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[found[2]] if found else float("nan")
