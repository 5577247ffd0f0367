"""Update: what clients of an endpoint notice while another image takes its place, at the same address.

`python benchmarks/update.py [--base rootfs.tar] [--clients N] [--engine-url URL]`. Half of the clients connect anew
for each request, half keep a connection; each asks again 10 ms after its answer. Without an engine, and with
--engine-url in that engine, too, with a port that it publishes. `refused s`: from the first to the last request that
failed.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from iris_model import make_package
from measuring import show, write

import gantline
from gantline.client import Client
from gantline.errors import GantlineError

ROW = [[5.1, 3.5, 1.4, 0.2]]
PAUSE_S = 0.01
AROUND_S = 2.0  # before and after


class Clients:
    """They ask until the block ends, and note each wait and each failure."""

    def __init__(self, url: str, model: str, count: int) -> None:
        self.url, self.model = url, model
        self.waits: list[float] = []
        self.failed: list[float] = []
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(n % 2 == 0,)) for n in range(count)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        time.sleep(AROUND_S)
        return self

    def __exit__(self, *error: object) -> None:
        time.sleep(AROUND_S)
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, keeps: bool) -> None:
        client = Client(self.url)
        while not self._done.is_set():
            begun = time.perf_counter()
            try:
                client.infer(self.model, ROW)
                self.waits.append(time.perf_counter() - begun)
            except GantlineError:
                self.failed.append(time.perf_counter())
            if not keeps:
                client.close()
                client = Client(self.url)
            time.sleep(PAUSE_S)
        client.close()


def measure(count: int, **where: Any) -> dict[str, float]:
    """One update under load."""
    with gantline.run("iris:1", **where) as running, Clients(running.url, running.model, count) as clients:
        begun = time.perf_counter()
        running.update(variables={"GANTLINE_LOG_LEVEL": "warning"})
        took = time.perf_counter() - begun
    waits = sorted(clients.waits)
    return {
        "requests": len(waits), "failed": len(clients.failed), "update s": took,
        "refused s": max(clients.failed) - min(clients.failed) if clients.failed else 0.0,
        "p50 ms": waits[len(waits) // 2] * 1e3, "slowest ms": waits[-1] * 1e3,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="")
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--engine-url", default="")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GANTLINE_HOME"] = folder
        package = make_package(Path(folder))
        gantline.build(package, tag="iris:1", base=args.base, record=False)
        found = {"process": measure(args.clients, engine=False)}
        if args.engine_url:
            found["engine, published"] = measure(args.clients, engine_url=args.engine_url)
    columns = list(next(iter(found.values())))
    show("An update under load", ["place", *columns], [[name, *row.values()] for name, row in found.items()])
    command = f"python benchmarks/update.py --clients {args.clients}"
    write("update", command, "the same clients when nothing changes", {"places": found})


if __name__ == "__main__":
    main()
