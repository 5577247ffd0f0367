"""Measuring: processes started and watched, wrk read, results written; shared by the scripts beside it."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
JSON = {"Content-Type": "application/json"}


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
        # where it is set, each server would compile all that it imports, every time
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        self.environment = inherited | environment
        self.started = 0.0

    def __enter__(self) -> Process:
        # what it says goes to a file: a pipe that nobody reads would stop it when full
        self._said = tempfile.TemporaryFile()
        self.started = time.perf_counter()
        self._process = subprocess.Popen(
            self.command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        family = self.family()
        self._signal(signal.SIGCONT, family)  # what is stopped would not notice SIGTERM
        for one in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, one)
                self._process.wait(10)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
        self._signal(signal.SIGKILL, family[1:])  # what has left the group
        self._said.close()

    def terminate(self) -> None:
        """SIGTERM, as an operator stops a server."""
        self._process.terminate()

    def wait(self, within_s: float = 30.0) -> int:
        """The exit code, once it has ended."""
        return self._process.wait(within_s)

    def family(self) -> list[int]:
        """The process and all that it has started, and they, as long as their parents live."""
        out = [self._process.pid]
        for pid in out:
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    out += map(int, task.read_text().split())
        return out

    def pause(self) -> None:
        """Stop it where it is, so that it takes no time from others, until `resume`."""
        self._signal(signal.SIGSTOP, self.family())

    def resume(self) -> None:
        self._signal(signal.SIGCONT, self.family())

    def said(self) -> str:
        """The end of what it wrote to its standard error."""
        self._said.seek(max(0, self._said.seek(0, os.SEEK_END) - 2000))
        return self._said.read().decode(errors="replace")

    def _signal(self, number: int, pids: Sequence[int]) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):  # it has ended
                os.kill(pid, number)

    def answers(
        self, url: str, body: bytes | None = None, within_s: float = 60.0, headers: Mapping[str, str] = JSON
    ) -> float:
        """Seconds from the start to the first answer with status 200. SystemExit if it ends before, or takes longer."""
        while time.perf_counter() - self.started < within_s:
            if self._process.poll() is not None:
                raise SystemExit(f"{self.command} ended: {self.said()}")
            try:
                with urllib.request.urlopen(urllib.request.Request(url, body, dict(headers)), timeout=5) as answer:
                    if answer.status == 200:
                        return time.perf_counter() - self.started
            except (urllib.error.URLError, OSError) as e:
                if isinstance(e, urllib.error.HTTPError):  # it holds the connection
                    e.close()
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
        """Resident memory of the process and all that it has started, in MB (shared pages counted once for each)."""
        return sum(self.rss_by_process_mb())

    def cpu_s(self) -> float:
        """Processor time that the process has used, in s, without its children: the same however busy the machine."""
        words = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def rss_by_process_mb(self) -> list[float]:
        """Resident memory of each process, in MB, the largest first."""
        pids = ",".join(map(str, self.family()))
        listed = subprocess.run(["ps", "-o", "rss=", "-p", pids], capture_output=True, text=True, check=True)
        return sorted((int(k) / 1024 for k in listed.stdout.split()), reverse=True)


def wrk(
    url: str, body: bytes | Sequence[bytes], connections: int, seconds: float, work: Path,
    headers: Mapping[str, str] = JSON,
) -> Load:  # fmt: skip
    """One run of `wrk -t1` that posts the same body over and over, or several in turn, for whole seconds."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed; Debian has it: apt-get install wrk")
    script, bodies = work / "post.lua", [body] if isinstance(body, bytes) else body
    lines = ["wrk.method='POST'", "local bodies, whole, at = {}, {}, 0"]
    for i, one in enumerate(bodies):
        file = work / f"post{i}.body"
        file.write_bytes(one)
        lines += [f"local f=io.open('{file}','rb')", "bodies[#bodies+1]=f:read('*a')", "f:close()"]
    lines += ["wrk.body=bodies[1]"]
    lines += [f"wrk.headers['{name}']='{value}'" for name, value in headers.items()]
    if len(bodies) > 1:  # requests are put together once
        lines += ["init=function() for i, b in ipairs(bodies) do whole[i]=wrk.format(nil,nil,nil,b) end end"]
        lines += ["request=function() at=at%#whole+1 return whole[at] end"]
    script.write_text("\n".join(lines) + "\n")
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{max(1, round(seconds))}",
        "--timeout=30s",
        "--latency",
        "-s",
        str(script),
        url,
    ]
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


def h2load(url: str, message: bytes, seconds: float, work: Path, clients: int = 4, streams: int = 16) -> Load:
    """h2load sending the same gRPC message over and over, for `seconds` or so; p50 is its mean, p99 unknown.

    In bursts on new connections, the first of which only tells how many calls a burst may have: a server that ends
    connections after some thousands of calls (GOAWAY) would leave h2load, which opens no new ones, with none.
    """
    if shutil.which("h2load") is None:
        raise SystemExit("h2load is not installed; Debian has it: apt-get install nghttp2-client")
    file = work / "request.bin"
    file.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
    command = ["h2load", f"-c{clients}", f"-m{streams}", "-d", str(file)]
    command += ["-H", "content-type: application/grpc", "-H", "te: trailers", url]
    calls, total, failed, took = 250 * clients, 0, 0, 0.0
    means: list[float] = []
    while took < seconds:
        out = subprocess.run([*command, f"-n{calls}"], capture_output=True, text=True, check=True).stdout
        found = re.search(r"requests: .*?(\d+) done, (\d+) succeeded", out)
        mean = re.search(r"time for request:\s+\S+\s+\S+\s+([\d.]+)(us|ms|s)", out)
        rate = _number(r"([\d.]+) req/s", out)
        assert found is not None and mean is not None and rate, out
        if means or calls >= rate * seconds:
            took, total, failed = took + calls / rate, total + calls, failed + calls - int(found[2])
        means.append(float(mean[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[mean[2]])
        calls = min(3000 * clients, max(calls, int(rate * seconds)))
    return Load(total / took, means[-1], float("nan"), failed, total)


def output_of(
    command: Sequence[str | os.PathLike[str]], environment: Mapping[str, str] | None = None, name: str = "",
    within_s: float = 1800.0,
) -> str:  # fmt: skip
    """What a command prints. RuntimeError with the end of what it says if it fails, or has not ended in time.

    By files: what a command leaves running holds its pipes open, and whoever waits for their end waits for that, too.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=errors, check=False, timeout=within_s,
                env=environment,
            )  # fmt: skip
            ended = f"exit code {done.returncode}" if done.returncode else ""
        except subprocess.TimeoutExpired:
            ended = f"not done within {within_s:g} s"
        printed, said = (_read(file) for file in (out, errors))
    if ended:
        last = (said.strip() or printed.strip()).splitlines()[-3:]
        raise RuntimeError(f"{name or Path(command[0]).name}: {ended}: {' | '.join(last)[-500:]}")
    return printed


def free_port() -> int:
    """A port that is free now on loopback."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def gantline_serve(*refs: str | os.PathLike[str], port: int) -> Process:
    """`gantline serve` of this checkout."""
    return Process([sys.executable, "-m", "gantline", "serve", *map(str, refs), "--http-port", str(port), "--no-grpc"])


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


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    return float(found[1]) if found else float("nan")


def _ms(percentile: str, text: str) -> float:
    found = re.search(rf"{percentile}\s+([\d.]+)(us|ms|s)\b", text)
    return float(found[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[found[2]] if found else float("nan")
