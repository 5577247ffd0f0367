"""Contestants: Triton with our C++ backend gives every caller the rows that are its own, batched or not."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from contestants import Running, triton
from workloads import Workload, make

from gantline.request import Request
from gantline.wire import v2

pytestmark = [pytest.mark.oracle, pytest.mark.slow]
Rows = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


@pytest.fixture(scope="module")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    return make("c", tmp_path_factory.mktemp("workload") / "c")


@pytest.fixture(scope="module")
def running(workload: Workload, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Triton with one instance of the workload's model; skipped where its wheel or a compiler is not to be had."""
    try:
        found = triton(True, 1, "onnx")(workload, tmp_path_factory.mktemp("triton"))
    except (SystemExit, OSError, subprocess.SubprocessError) as e:
        pytest.skip(f"Triton cannot be had here: {e}")
    with found.process:
        found.process.answers(found.url, found.body.data, headers=found.body.headers)
        yield found


def ask(running: Running, rows: Rows, binary: bool) -> Rows:
    data, head = v2.encode_request(Request({"X": rows}, binary_output=binary), binary=binary)
    headers = {"Inference-Header-Content-Length": str(head)} if binary else {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(running.url, data, headers), timeout=60) as answer:
        body, head = answer.read(), int(answer.headers.get("Inference-Header-Content-Length", 0))
    output = json.loads(body[:head] if head else body)["outputs"][0]
    flat = np.frombuffer(body[head:], np.float32) if head else np.array(output["data"], np.float32)
    return flat.reshape(output["shape"])


def stats(running: Running) -> dict[str, Any]:
    with urllib.request.urlopen(running.url.removesuffix("infer") + "stats", timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)["model_stats"][0]
    return found


def test_every_caller_gets_its_own_rows(workload: Workload, running: Running) -> None:
    random = np.random.default_rng(3)
    asked = [random.random((1 + i % 3, workload.row.shape[1]), np.float32) * 4 for i in range(192)]
    before = stats(running)
    with ThreadPoolExecutor(24) as callers:
        found = list(callers.map(lambda i: ask(running, asked[i], binary=i % 2 == 0), range(len(asked))))
    after = stats(running)
    session = ort.InferenceSession(str(workload.model), providers=["CPUExecutionProvider"])
    for rows, outputs in zip(asked, found, strict=True):
        (wanted,) = session.run(None, {"X": rows})
        np.testing.assert_allclose(outputs, wanted, rtol=1e-3, atol=1e-5)
    # rows that differ, or the test would not see a caller's answer given to another
    assert len({outputs[0].tobytes() for outputs in found}) == len(found)
    assert after["inference_count"] - before["inference_count"] == sum(map(len, asked))
    # 24 callers wait for a model of milliseconds: requests have run together, how many depends on the machine
    assert after["execution_count"] - before["execution_count"] < len(asked)
    assert after["inference_stats"]["success"]["count"] - before["inference_stats"]["success"]["count"] == len(asked)


def test_what_is_refused_hurts_nobody_else(workload: Workload, running: Running) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(running, workload.row[:, :-1], binary=False)
    with refused.value as answer:
        assert answer.code == 400
        assert "unexpected shape for input 'X'" in json.load(answer)["error"]
    np.testing.assert_allclose(ask(running, workload.row, binary=True), workload.expected, rtol=1e-3, atol=1e-5)
