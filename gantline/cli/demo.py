"""`gantline demo`: train, package, serve and score real models, and compare what is served with what was trained."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from .. import Client
from .. import package as make_package
from ..errors import VerificationFailed
from ..exits import FAILED, OK
from ..tensors import Array
from . import demo_models
from .demo_models import Trained, azure_body

Call: TypeAlias = Callable[[dict[str, Array]], Array]  # held-out rows through one face: the answers
MEASURE_S = 1.0  # how long latency and throughput are measured, each


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", type=Path, help="keep the packages in this directory (default: thrown away)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")


@dataclass(slots=True)
class Row:
    """One line of the demo's table. Latency of one row in ms, throughput in rows a second."""

    model: str
    source: str
    engine: str
    parity: str
    before: float
    after: float
    faces: str
    p50_ms: float
    p99_ms: float
    rows_per_s: float
    right: bool


def run(args: argparse.Namespace) -> int:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gantline-demo-") as temporary:
        packages = args.output or Path(temporary) / "packages"
        tell = _quiet if args.json else _say
        tell("training on iris, diabetes, breast cancer and digits")
        models = demo_models.train(Path(temporary))
        if not any(m.framework == "torch" for m in models):
            tell("torch: not installed")
        parities = {m.name: _package(m, packages, tell) for m in models}
        with Served(packages) as url:
            tell(f"serving on {url}")
            rows = [_score(url, m, *parities[m.name]) for m in models]
    right = all(r.right for r in rows)
    if args.json:
        sys.stdout.write(json.dumps({"right": right, "models": [asdict(r) for r in rows]}) + "\n")
    else:
        _table(rows)
        _say(f"{'every answer is right' if right else 'WRONG ANSWERS'}; {time.monotonic() - started:.0f} s in all")
    return OK if right else FAILED


class Served:
    """`gantline serve` as a process of its own, on a free port, for the time of a with block."""

    def __init__(self, packages: Path) -> None:
        self._command = [sys.executable, "-m", "gantline", "serve", str(packages), "--http-port", "0", "--json"]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> str:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        try:
            ready = json.loads(line)
        except ValueError:
            self._process.kill()
            raise VerificationFailed(f"the server did not start: {line.strip() or 'see above'}") from None
        if ready["failed"]:
            self._process.kill()
            raise VerificationFailed(f"not served: {ready['failed'][0]}")
        return str(ready["url"])

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def _package(model: Trained, packages: Path, tell: Callable[[str], None]) -> tuple[str, str]:
    """Package one model; its engine and a line on its parity."""
    arguments = dict(model.package)
    source = arguments.pop("model", None)
    made = make_package(source, name=model.name, output=packages / f"{model.name}.pkg", overwrite=True, **arguments)
    parity = made.manifest.parity
    if parity is None:
        line = "runs as it is"
    else:
        line = f"{parity.max_rel_error:.0e} rel, {parity.label_flips} flips, {parity.rows} rows"
    tell(f"packaged {model.name}: engine {made.manifest.engine}, {line}")
    return made.manifest.engine, line


def _score(url: str, model: Trained, engine: str, parity: str) -> Row:
    """Held-out rows through every face that the model has; right only if each gives the source model's answers."""
    one = {name: array[:1] for name, array in model.inputs.items()}
    with ExitStack() as stack:
        faces = _faces(url, model, stack)
        answers = {face: call(model.inputs) for face, call in faces.items()}
        p50, p99 = _latency(_fastest(faces), one)
    first = next(iter(answers.values()))
    return Row(
        model.name,
        model.framework,
        engine,
        parity,
        model.quality(model.before),
        model.quality(first),
        ", ".join(faces),
        p50,
        p99,
        _throughput(url, model),
        all(model.same(a) for a in answers.values()),
    )


def _faces(url: str, model: Trained, stack: ExitStack) -> dict[str, Call]:
    if model.names:
        client = stack.enter_context(Client(url))

        def score(inputs: dict[str, Array]) -> Array:
            answer: Any = client.score(azure_body(inputs["data"]), path=f"/models/{model.name}/score")
            return np.array([model.names.index(n) for n in answer[model.output]])

        return {"/score": score}

    def infer(client: Client) -> Call:
        stack.enter_context(client)
        return lambda inputs: model.decide(client.infer(model.name, inputs)[model.output])

    return {"JSON": infer(Client(url, binary=False)), "binary": infer(Client(url))}


def _fastest(faces: dict[str, Call]) -> Call:
    return faces["binary"] if "binary" in faces else faces["/score"]


def _latency(call: Call, one: dict[str, Array]) -> tuple[float, float]:
    times: list[float] = []
    end = time.perf_counter() + MEASURE_S
    while time.perf_counter() < end or len(times) < 20:
        started = time.perf_counter()
        call(one)
        times.append(1e3 * (time.perf_counter() - started))
    p50, p99 = np.percentile(times, [50, 99])
    return float(p50), float(p99)


def _throughput(url: str, model: Trained, threads: int = 4) -> float:
    """Rows a second when a few clients send all held-out rows in each request."""
    counts = [0] * threads
    end = time.perf_counter() + MEASURE_S

    def work(i: int) -> None:
        with ExitStack() as stack:
            call = _fastest(_faces(url, model, stack))
            while time.perf_counter() < end:
                call(model.inputs)
                counts[i] += model.rows

    workers = [threading.Thread(target=work, args=(i,)) for i in range(threads)]
    started = time.perf_counter()
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    return sum(counts) / (time.perf_counter() - started)


def _table(rows: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "source", "engine", "parity", "before", "after", "faces", "p50 ms", "p99 ms", "rows/s", "")
    for r in rows:
        numbers = (f"{r.before:.4f}", f"{r.after:.4f}", r.faces, f"{r.p50_ms:.2f}", f"{r.p99_ms:.2f}")
        mark = "[green]right[/]" if r.right else "[red]WRONG[/]"
        table.add_row(r.model, r.source, r.engine, r.parity, *numbers, f"{r.rows_per_s:,.0f}", mark)
    console = Console()
    console.width = max(console.width, 140)
    console.print(table)
    console.print(
        "before, after: accuracy (R squared for diabetes) on held-out rows, of the source model and as served"
    )


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _quiet(line: str) -> None:
    sys.stderr.write(line + "\n")
