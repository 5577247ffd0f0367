"""Following an alias as operators see it: a server under load, and a registry that others move, break and take away."""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from onnx import TensorProto, helper

from gantline.manifest import Manifest
from gantline.packages import seal
from gantline.registry import checkout
from gantline.registry.registry import Registry

if TYPE_CHECKING:
    from tests.serve.process.conftest import Program, Programs

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes by /proc")
WAIT_S, LOOK_S = 60, 0.01
BODY = json.dumps({"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1]}]})
FLAGS = ("--no-grpc", "--follow-s", 0.05)


def register(registry: Registry, root: Path, factor: float) -> None:
    """A version that multiplies by its factor; 0: one whose model is no ONNX."""
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 1]) for n in "xy")
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "by"], ["y"])], "g", [x], [y],
        [helper.make_tensor("by", TensorProto.FLOAT, [], [factor])],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    root.mkdir()
    (root / "model.onnx").write_bytes(model.SerializeToString() if factor else b"torn")
    registry.register(seal(root, Manifest("iris", "onnx", "model.onnx"), {}))


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """iris:1 and iris:2 multiply by 1 and 2, iris:3 is broken; champion is iris:1. The home is this test's own, too."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("GANTLINE_HOME", raising=False)
    with Registry.open(tmp_path / "registry") as opened:
        for version, factor in enumerate((1, 2, 0), 1):
            register(opened, tmp_path / str(version), factor)
        opened.promote("iris:1", "champion")
        yield opened


class Asking:
    """Clients that ask on and on: which version, by its digest, said what; and what was no answer."""

    def __init__(self, port: int, registry: Registry) -> None:
        self.said: Counter[tuple[int, float]] = Counter()
        self._versions = {one.digest: one.version for one in registry.list("iris")}
        self.lost: list[str] = []
        self._port = port
        self._news = threading.Condition()
        self._stopping = False
        self._threads = [threading.Thread(target=self._ask) for _ in range(3)]

    def __enter__(self) -> Asking:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        for thread in self._threads:
            thread.join(WAIT_S)

    def see(self, version: int) -> None:
        """Until more answers of a version come than there are clients: one at least that was asked after this."""
        key = (version, float(version))
        with self._news:
            goal = self.said[key] + len(self._threads) + 1
            assert self._news.wait_for(lambda: self.lost or self.said[key] >= goal, WAIT_S), self.said

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=WAIT_S)
        while not self._stopping:
            try:
                connection.request("POST", "/v2/models/iris/infer", BODY)
                answer = connection.getresponse()
                tree = json.loads(answer.read())
                version = self._versions[answer.headers["gantline-package-digest"]]
                assert tree["model_version"] == str(version)
                one = (version, tree["outputs"][0]["data"][0])
            except (OSError, ValueError, LookupError, AssertionError, http.client.HTTPException) as e:
                self.lost.append(repr(e))
                connection.close()
            else:
                self.said[one] += 1
            with self._news:
                self._news.notify_all()
        connection.close()


def metrics(run: Program) -> list[str]:
    with urllib.request.urlopen(f"{run.ready['url']}/metrics") as answer:
        return str(answer.read().decode()).splitlines()


def wait_for_metric(run: Program, row: str) -> None:
    """Workers are told of it after the log is."""
    end = time.monotonic() + WAIT_S
    while row not in metrics(run):
        assert time.monotonic() < end, row
        time.sleep(LOOK_S)


def wait_for_lease(run: Program, digest: str) -> None:
    """Until this alone is in use: what went is let go when all that it had accepted is answered."""
    end = time.monotonic() + WAIT_S
    while checkout.leased() != {digest}:
        assert run.process.poll() is None and time.monotonic() < end, checkout.leased()
        time.sleep(LOOK_S)


def load(run: Program) -> tuple[int, str]:
    """Ask for the model to be loaded; status and body."""
    try:
        with urllib.request.urlopen(f"{run.ready['url']}/v2/repository/models/iris/load", b"{}") as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


def swaps(registry: Registry, run: Program, clients: Asking) -> None:
    first, second = (registry.get(f"iris:{v}").digest for v in (1, 2))
    clients.see(1)
    for version in (2, 1, 2):
        registry.promote(f"iris:{version}", "champion")
        clients.see(version)
    run.wait_for_log("iris@champion: version 2 serves", 2)
    wait_for_lease(run, second)  # what was swapped out is let go
    assert checkout.remove(first) and not checkout.remove(second)

    registry.promote("iris:3", "champion")
    run.wait_for_log("cannot be served, version 2 goes on")
    clients.see(2)
    wait_for_metric(run, 'gantline_alias_served{model="iris",alias="champion",version="3"} 0')
    status, text = load(run)
    assert status == 500 and "failed to load 'iris'" in text and str(Path.home()) not in text
    assert run.log.read_text().count("cannot be served") == 2, "tried again when asked, and not between"
    wait_for_metric(run, 'gantline_alias_failures_total{model="iris",alias="champion"} 2')

    registry.rollback("iris", "champion", 1)
    clients.see(1)
    run.wait_for_log("iris@champion: version 1 serves", 2)
    row = f'gantline_model_info{{model="iris",version="1",digest="{first}"}} 1'
    assert row in metrics(run)
    wait_for_lease(run, first)


def test_a_promotion_swaps_a_broken_version_does_not(registry: Registry, program: Programs) -> None:
    ref = ("registry://iris@champion", "--registry", registry.place)
    with program(*ref, *FLAGS) as run:
        with Asking(run.port, registry) as clients:
            swaps(registry, run, clients)
        run.signal()
        assert run.code() == 0, run.log.read_text()
    assert clients.lost == [] and set(clients.said) == {(1, 1.0), (2, 2.0)}


@pytest.mark.slow
def test_workers_go_together_and_a_registry_may_be_away(registry: Registry, program: Programs, tmp_path: Path) -> None:
    there, away = tmp_path / "registry", tmp_path / "away"
    ref = ("registry://iris@champion", "--registry", registry.place)
    with program(*ref, *FLAGS, "--workers", 2) as run, Asking(run.port, registry) as clients:
        for version, times in ((2, 1), (1, 1), (2, 2)):
            registry.promote(f"iris:{version}", "champion")
            run.wait_for_log(f"iris@champion: version {version} serves", times)
            clients.see(version)
        registry.promote("iris:3", "champion")
        run.wait_for_log("cannot be served, version 2 goes on")
        there.rename(away)
        run.wait_for_log("what serves goes on")
        wait_for_metric(run, "gantline_registry_reachable 0")
        assert clients.lost == []

        os.kill(run.workers()[1], signal.SIGKILL)
        run.wait_for_log("worker 1 serves again")
        clients.see(2)
        assert load(run)[0] == 200, "what is here is loaded, without the registry"
        wait_for_metric(run, "gantline_registry_reachable 0")  # of two, and the new one has been told

        away.rename(there)
        run.wait_for_log("aliases are followed again")
        registry.promote("iris:1", "champion")
        run.wait_for_log("iris@champion: version 1 serves", 2)
        wait_for_lease(run, registry.get("iris:1").digest)
        clients.see(1)
        run.signal()
        assert run.code() == 0, run.log.read_text()
    assert set(clients.said) == {(1, 1.0), (2, 2.0)}
