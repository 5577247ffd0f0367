"""What a server that loads on demand tells of its models: to people, to Prometheus, to V2's clients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gantline.serve.inventory import merge_memory
from gantline.serve.residency import SESSION

from .test_on_demand import ask, get, of

if TYPE_CHECKING:
    from tests.serve.conftest import Running, Scaler


def test_what_it_shows(servers: Callable[..., Running], scaler: Scaler, tmp_path: Path) -> None:
    for i in range(8):
        scaler(tmp_path / f"m{i}.onnx", float(i))
    server = servers(tmp_path, load="on-demand", memory="1GiB")
    for name in ("m1", "m2"):
        assert ask(server, name).status == 200
    found = get(server, "/v2/repository/memory").json()
    assert found["limit_bytes"] == 1 << 30 and found["known"] == 8
    (rows,) = found["workers"]
    assert [r["name"] for r in rows] == ["m2", "m1"] and found["bytes"] == sum(r["bytes"] for r in rows)
    assert all(r["file_bytes"] == (tmp_path / f"{r['name']}.onnx").stat().st_size for r in rows)
    assert all(r["bytes"] >= r["file_bytes"] + SESSION and r["state"] == "idle" and not r["pinned"] for r in rows)
    text = get(server, "/metrics").body.decode()
    for line in (
        'gantline_models{state="loaded"} 2', 'gantline_models{state="standby"} 6', 'gantline_models{state="loading"} 0',
        f"gantline_models_bytes {found['bytes']}", "gantline_models_limit_bytes 1073741824",
        'gantline_model_loads_total{outcome="ok"} 2', "gantline_load_wait_seconds_count 2",
        'gantline_model_ready{model="m1",version="1"} 1',
    ):  # fmt: skip
        assert line in text.splitlines(), line
    assert 'model="m3"' not in text


def test_what_a_model_has_done_is_told_when_it_is_not_loaded(
    servers: Callable[..., Running], scaler: Scaler, tmp_path: Path
) -> None:
    for i in range(3):
        scaler(tmp_path / f"m{i}.onnx", float(i))
    server = servers(tmp_path, load="on-demand", unload_after_s=60)

    def counts() -> dict[str, tuple[int, int]]:
        rows = get(server, "/v2/models/stats").json()["model_stats"]
        return {r["name"]: (r["inference_count"], len(r["memory_usage"])) for r in rows}

    assert counts() == {}
    for name in ("m1", "m1", "m2"):
        assert ask(server, name).status == 200
    assert counts() == {"m1": (2, 1), "m2": (1, 1)}
    assert asyncio.run_coroutine_threadsafe(of(server)._retire("m1", "idle"), server.loop).result(60)
    assert counts() == {"m1": (2, 0), "m2": (1, 1)}


def test_workers_add_up() -> None:
    one = {"limit_bytes": 10, "bytes": 7, "known": 3, "workers": [[{"name": "a"}]]}
    two = {"limit_bytes": 10, "bytes": 0, "known": 3, "workers": [[]]}
    assert merge_memory([one, two]) == {"limit_bytes": 20, "bytes": 7, "known": 3, "workers": [[{"name": "a"}], []]}
