"""`gantline models` against real servers, and its table by itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gantline.cli import main
from gantline.cli.models import Row, age, rows_of
from gantline.client import Client

Run = Callable[..., str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """neg-1, neg-2 and neg-3, and one that cannot be loaded."""
    import onnx

    root = tmp_path_factory.mktemp("models")
    h, float32 = onnx.helper, onnx.TensorProto.FLOAT
    tensors = [h.make_tensor_value_info(name, float32, ["N", 3]) for name in "xy"]
    graph = h.make_graph([h.make_node("Neg", ["x"], ["y"])], "g", tensors[:1], tensors[1:])
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    for i in range(1, 4):
        onnx.save(model, root / f"neg-{i}.onnx")
    (root / "bad.onnx").write_bytes(b"\x08\x08garbage")
    return root


@pytest.fixture(scope="module")
def url(serving: Any, folder: Path) -> Iterator[str]:
    with serving(folder, "--load", "on-demand", "--memory", "1GiB") as found:
        yield found


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """run(*words) -> what `gantline models` prints."""

    def call(*words: str, code: int = 0) -> str:
        assert main(["models", *words]) == code
        found = capsys.readouterr()
        return found.out or found.err

    return call


def test_on_demand(url: str, run: Run) -> None:
    lines = run("--url", url).splitlines()
    assert lines[0].split() == ["NAME", "VERSION", "STATE", "MEMORY", "REQUESTS", "FAILED", "LAST", "USED", "DIGEST"]
    assert [line.split() for line in lines[1:-1]] == [
        [name, "1", "standby", "-", "0", "0", "never"] for name in ("bad", "neg-1", "neg-2", "neg-3")
    ]
    assert lines[-1] == "0 of 4 in memory, 0 B of 1.0 GiB"
    with Client(url) as client:
        for name in ("neg-1", "neg-2", "neg-2"):
            client.infer(name, {"x": np.zeros((1, 3), np.float32)})
        with pytest.raises(Exception, match="is not ready"):
            client.infer("bad", {"x": np.zeros((1, 3), np.float32)})
        memory = client.memory()
    found = json.loads(run("--url", url, "--json"))
    rows = {r["name"]: r for r in found["models"]}
    assert found["memory_limit_bytes"] == 1 << 30 and found["memory_bytes"] == memory["bytes"]
    assert {n: (r["state"], r["requests"]) for n, r in rows.items()} == {
        "bad": ("unavailable", 0), "neg-1": ("ready", 1), "neg-2": ("ready", 2), "neg-3": ("standby", 0)
    }  # fmt: skip
    assert rows["neg-1"]["memory_bytes"] + rows["neg-2"]["memory_bytes"] == memory["bytes"]
    assert rows["neg-3"]["memory_bytes"] == 0 and rows["neg-3"]["last_used"] is None
    assert abs((datetime.now(UTC) - datetime.fromisoformat(rows["neg-2"]["last_used"])).total_seconds()) < 60
    assert "bad.onnx" in rows["bad"]["note"]


def test_which_and_in_which_order(url: str, run: Run) -> None:
    with Client(url) as client:
        for _ in range(5):
            client.infer("neg-3", {"x": np.zeros((1, 3), np.float32)})
    names = [line.split()[0] for line in run("--url", url, "neg-*", "--sort", "requests").splitlines()[1:-1]]
    assert names[0] == "neg-3" and set(names) == {"neg-1", "neg-2", "neg-3"}
    names = [line.split()[0] for line in run("--url", url, "--loaded", "--sort", "used").splitlines()[1:-1]]
    assert names[0] == "neg-3" and "bad" not in names
    told = run("--url", url, "nope", "x*", code=3)
    assert told == f"gantline models: error: {url} has no model 'nope' or 'x*'; it has 4 others\n"
    assert "unknown flag '--lodaed'; did you mean '--loaded'?" in run("--url", url, "--lodaed", code=2)
    assert "nothing listens there" in run("--url", "http://127.0.0.1:9", code=6)


def test_a_server_that_has_all_in_memory(serving: Any, folder: Path, run: Run) -> None:
    with serving(folder / "neg-1.onnx") as url:
        found = json.loads(run("--url", url, "--json"))
    (row,) = found["models"]
    size = (folder / "neg-1.onnx").stat().st_size
    assert (row["state"], row["memory_bytes"], found["memory_limit_bytes"]) == ("ready", size, None)


def test_versions_workers_and_servers_that_say_less() -> None:
    index = [
        {"name": "a", "version": "1", "state": "READY", "reason": ""},
        {"name": "a", "version": "2", "state": "READY", "reason": ""},
        {"name": "b", "version": "1", "state": "READY", "reason": "not loaded"},
        {"name": "c", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"},
        {"name": "d"},
    ]
    held = {"name": "a", "bytes": 5, "pinned": True, "state": "idle"}
    memory = {"workers": [[held], [held | {"state": "busy", "pinned": False}]]}
    stats = {"name": "a", "version": "2", "last_inference": 7, "inference_stats": {"success": {"count": 3}}}
    rows = rows_of(index, [stats], memory)
    assert [(r.name, r.version, r.state, r.memory, r.note) for r in rows] == [
        ("a", "1", "busy", 10, "pinned"), ("a", "2", "busy", 0, "pinned"), ("b", "1", "standby", 0, ""),
        ("c", "1", "unavailable", 0, "unloaded"), ("d", "", "not loaded", 0, ""),
    ]  # fmt: skip
    assert rows[1].requests == 3 and rows[1].used == 7
    assert [r.state for r in rows_of(index, [], None)] == ["ready", "ready", "ready", "unavailable", "not loaded"]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(-3, "just now"), (0.9, "just now"), (59, "59 s ago"), (60, "1 min ago"), (7300, "2 h ago"), (200_000, "2 d ago")],
)
def test_how_long_ago(seconds: float, told: str) -> None:
    assert age(seconds) == told


def test_nothing_of_a_server_moves_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    from gantline.cli.models import _print

    _print([Row("a\x1b[2J", "1", "ready", 2048, 1, 0, 1000, "x\ny")], 61.0)
    assert capsys.readouterr().out.splitlines()[1].split() == [
        "a?[2J", "1", "ready", "2.0", "KiB", "1", "0", "1", "min", "ago", "x?y"
    ]  # fmt: skip
