"""Two workers behind one port are one server to tritonclient: each of its connections may end at either of them."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

triton = pytest.importorskip("tritonclient.http")
CLIENTS, EACH = 8, 5


@pytest.fixture(scope="module")
def address(serving: Callable[..., AbstractContextManager[str]], triton_repository: Path) -> Iterator[str]:
    with serving(triton_repository / "defaults", "--workers", "2") as url:
        yield url.removeprefix("http://")


@pytest.fixture
def clients(address: str) -> Iterator[list[Any]]:
    """Each has a connection of its own."""
    with ExitStack() as stack:
        yield [stack.enter_context(triton.InferenceServerClient(address)) for _ in range(CLIENTS)]


def infer(client: Any, rows: int = 2) -> list[float]:
    x = np.arange(rows, dtype=np.float32)
    found = client.infer("defaults", [triton.InferInput("x", [rows], "FP32").set_data_from_numpy(x)])
    return list(found.as_numpy("y").tolist())


def test_statistics_and_metrics_are_those_of_all(clients: list[Any], address: str) -> None:
    after = before = clients[0].get_inference_statistics("defaults")["model_stats"][0]
    for client in clients:
        for _ in range(EACH):
            assert infer(client) == [5.0, 6.0]
    for client in clients:
        [after] = client.get_inference_statistics("defaults")["model_stats"]
        done = after["inference_stats"]["success"]["count"] - before["inference_stats"]["success"]["count"]
        assert done == CLIENTS * EACH
        assert after["last_inference"] >= before["last_inference"]
    with urllib.request.urlopen(f"http://{address}/metrics") as answer:
        text = answer.read().decode()
    total = after["inference_stats"]["success"]["count"]
    assert f'nv_inference_request_success{{model="defaults",version="1"}} {total}' in text
    assert "gantline_workers 2" in text


def test_what_one_changes_all_have(clients: list[Any]) -> None:
    for client in clients:
        assert client.is_server_ready() and client.is_model_ready("defaults")
    clients[0].unload_model("defaults")
    for client in clients:
        assert not client.is_model_ready("defaults")
        assert [row["state"] for row in client.get_model_repository_index()] == ["UNAVAILABLE"]
        with pytest.raises(triton.InferenceServerException, match="not ready"):
            infer(client)
    clients[-1].load_model("defaults")
    for client in clients:
        assert client.is_model_ready("defaults") and infer(client) == [5.0, 6.0]
    settings = {"log_verbose_level": 1}
    assert clients[1].update_log_settings(settings)["log_verbose_level"] == 1
    assert {json.dumps(c.get_log_settings()["log_verbose_level"]) for c in clients} == {"1"}
