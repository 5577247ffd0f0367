"""Unloading gives everything back: memory and processes of a real server, looked at from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gantline

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads processes from /proc")
SIDE = 2048
LAYERS = 12  # of SIDE x SIDE float32: 201 MB
ROUNDS = 10
SCRIPT = "def init():\n    global block\n    block = b'x' * 50_000_000\ndef run(data):\n    return len(block)\n"


class Process:
    """`gantline serve` in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.pid = process.pid
        self.url = url

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(self.url + path, json.dumps(body or {}).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=120) as answer:
            data = answer.read()
        return json.loads(data) if data else None

    def load(self, name: str) -> None:
        self.post(f"/v2/repository/models/{name}/load")

    def unload(self, name: str) -> None:
        self.post(f"/v2/repository/models/{name}/unload")

    def resident(self) -> int:
        """In MB, of the server alone."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) // 1000

    def children(self) -> list[int]:
        found: list[int] = []
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
        return found


@contextmanager
def process(ref: Path, log: Path) -> Iterator[Process]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GANTLINE_")}
    command = [sys.executable, "-m", "gantline", "serve", str(ref), "--http-port", "0", "--json"]
    command += ["--model-control", "explicit"]
    with log.open("w") as errors, subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
    ) as started:  # fmt: skip
        try:
            assert started.stdout is not None
            line = started.stdout.readline()
            assert line.startswith("{"), log.read_text()
            yield Process(started, json.loads(line)["url"])
            started.send_signal(signal.SIGTERM)
            assert started.wait(60) == 0, log.read_text()
        finally:
            started.kill()


def write_large(path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    h, float32 = onnx.helper, onnx.TensorProto.FLOAT
    random = np.random.default_rng(0)
    weights = [
        onnx.numpy_helper.from_array(random.standard_normal((SIDE, SIDE), np.float32), f"w{i}") for i in range(LAYERS)
    ]
    nodes = [h.make_node("MatMul", [f"h{i}" if i else "x", f"w{i}"], [f"h{i + 1}"]) for i in range(LAYERS)]
    info = h.make_tensor_value_info
    graph = h.make_graph(
        nodes, "g", [info("x", float32, ["N", SIDE])], [info(f"h{LAYERS}", float32, ["N", SIDE])], weights
    )
    path.parent.mkdir(parents=True)
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), path)


@pytest.mark.slow
def test_a_large_model_gives_its_memory_back(zoo: Path, tmp_path: Path) -> None:
    write_large(tmp_path / "models/large/1/model.onnx")
    size = (tmp_path / "models/large/1/model.onnx").stat().st_size // 1_000_000
    body = {"inputs": [{"name": "x", "shape": [16, SIDE], "datatype": "FP32", "data": [0.5] * (16 * SIDE)}]}
    small = tmp_path / "models/small/1/model.onnx"
    small.parent.mkdir(parents=True)
    small.hardlink_to(zoo / "double.onnx")
    with process(tmp_path / "models", tmp_path / "log") as server:
        server.load("small")  # and with it all libraries
        before, loaded, after = server.resident(), [], []
        for _ in range(ROUNDS):
            server.load("large")
            server.post("/v2/models/large/infer", body)
            loaded.append(server.resident())
            server.unload("large")
            after.append(server.resident())
    sys.stdout.write(f"a model of {size} MB; resident before {before} MB, loaded {loaded}, unloaded {after}\n")
    assert all(one > before + size * 0.9 for one in loaded)
    assert max(after) < before + size * 0.1
    assert after[-1] < after[0] + 5


@pytest.mark.slow
def test_small_models_give_their_memory_back(zoo: Path, tmp_path: Path) -> None:
    names = [f"m{i}" for i in range(50)]
    for name in names:
        (tmp_path / f"models/{name}/1").mkdir(parents=True)
        (tmp_path / f"models/{name}/1/model.onnx").hardlink_to(zoo / "double.onnx")
    after = []
    with process(tmp_path / "models", tmp_path / "log") as server:
        for _ in range(ROUNDS):
            for name in names:
                server.load(name)
            for name in names:
                server.unload(name)
            after.append(server.resident())
    sys.stdout.write(f"{len(names)} models loaded and unloaded {ROUNDS} times; resident {after} MB\n")
    assert after[-1] < after[0] + 10, "for 450 loads: a session that is left behind has some 60 kB"


def test_a_script_s_process_is_gone(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code/score.py").write_text(SCRIPT)
    (tmp_path / "models").mkdir()
    gantline.package(script=tmp_path / "code/score.py", name="s", output=tmp_path / "models/s.pkg")
    with process(tmp_path / "models", tmp_path / "log") as server:
        assert server.children() == []
        for _ in range(2):
            server.load("s")
            assert len(server.children()) >= 1
            assert server.post("/models/s/score") == 50_000_000
            server.load("s")  # a second one beside the first, which goes
            hosts = server.children()
            server.unload("s")
            end = time.monotonic() + 60
            while any(Path(f"/proc/{pid}/status").exists() for pid in hosts):
                assert time.monotonic() < end, "a host is left"
            assert server.children() == []
