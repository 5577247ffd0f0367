"""/score and generate of scripts that their first request loads, and whose host is gone when they are not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING

import pytest

import gantline

if TYPE_CHECKING:
    from tests.serve.conftest import Answer, Running

SCORE = "import os\ndef init(): pass\ndef run(data): return os.getpid()\n"
WORDS = """
import numpy as np
INPUTS = {"text": ("BYTES", [1])}
OUTPUTS = {"word": ("BYTES", [1])}
def infer(inputs):
    for word in inputs["text"][0].decode().split():
        yield {"word": np.array([word])}
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scripts")
    for name, text in (("one", SCORE), ("words", WORDS)):
        code = root / f"{name} code"
        code.mkdir()
        (code / "score.py").write_text(text)
        (root / "packages").mkdir(exist_ok=True)
        gantline.package(script=code / "score.py", name=name, output=root / f"packages/{name}.pkg")
    return root / "packages"


def one(server: Running, raw: bytes) -> Answer:
    (answer,) = server.ask(raw)
    return answer


def unload_all(server: Running) -> None:
    on_demand = server.stack.on_demand
    assert on_demand is not None
    asyncio.run_coroutine_threadsafe(on_demand.tick(perf_counter_ns() + 10**12), server.loop).result(60)
    assert list(server.on_loop(server.stack.repository.resident)) == []


def test_score_loads_the_script_and_its_host_goes_with_it(servers: Callable[..., Running], scripts: Path) -> None:
    server = servers(scripts, load="on-demand", unload_after_s=60, default="one")
    assert one(server, server.get("/")).body == b"Healthy"
    assert one(server, server.post("/models/nope/score", b"1")).status == 404
    assert one(server, server.post("/models/words/score", b"1")).status == 404, "it has infer(), and no run()"
    assert list(server.on_loop(server.stack.repository.resident)) == []
    first = one(server, server.post("/score", b"1"))
    assert first.status == 200
    host = int(first.body)
    assert one(server, server.post("/models/one/score", b"1")).body == first.body
    assert one(server, server.get("/swagger.json")).status == 200
    unload_all(server)
    with pytest.raises(ProcessLookupError):
        os.kill(host, 0)
    assert one(server, server.get("/swagger.json")).status == 200, "it loads the script, which alone knows its schema"
    assert int(one(server, server.post("/score", b"1")).body) != host


def test_generate_and_a_stream_of_answers(servers: Callable[..., Running], scripts: Path) -> None:
    server = servers(scripts, load="on-demand", unload_after_s=60, default="one")
    answer = one(server, server.post("/v2/models/words/generate_stream", {"text": "a b c"}))
    assert answer.status == 200 and answer.body.count(b"data: ") == 3
    unload_all(server)
    assert one(server, server.post("/v2/models/words/generate", {"text": "alone"})).json()["word"] == "alone"
