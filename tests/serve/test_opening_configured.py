"""An engine under a config.pbtxt: names, dims, labels and reshapes, on real ONNX models."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from gantline.accelerators.script.engine import ScriptEngine

import gantline
from tests.builders.triton_models import expected, scorer

if TYPE_CHECKING:
    from tests.serve.conftest import Running

AZURE = """
def init():
    pass

def run(data):
    return {"got": data}
"""
YIELDS = """
import numpy as np

INPUTS = {"n": ("INT64", [1])}
OUTPUTS = {"i": ("INT64", [1])}

def infer(inputs):
    for i in range(int(inputs["n"][0])):
        yield {"i": np.array([i])}
"""


@pytest.fixture(scope="module")
def scripts(servers: Callable[..., Running], tmp_path_factory: pytest.TempPathFactory) -> Running:
    """Two packages with scripts, each below a config.pbtxt."""
    folder = tmp_path_factory.mktemp("scripts")
    configs = {
        "azure": "version_policy { all {} } instance_group { count: 2 }",
        "yields": 'input { name: "n" dims: 1 } output { name: "i" dims: [1, 1] reshape { shape: 1 } }',
    }
    (folder / "sample.json").write_text("1")
    for name, text in (("azure", AZURE), ("yields", YIELDS)):
        (folder / f"{name}.py").write_text(text)
        sample = folder / "sample.json" if name == "azure" else None
        gantline.package(
            script=folder / f"{name}.py", sample=sample, name=name, output=folder / "repository" / name / "1"
        )
        (folder / "repository" / name / "config.pbtxt").write_text(f'name: "{name}" {configs[name]}')
    return servers(folder / "repository", default="azure")


def test_a_script_below_a_config_is_scored(scripts: Running) -> None:
    for path in ("/score", "/models/azure/score"):
        (answer,) = scripts.ask(scripts.post(path, b"[1, 2]"))
        assert (answer.status, answer.json()) == (200, {"got": "[1, 2]"}), path
    (page,) = scripts.ask(scripts.get("/swagger.json"))
    assert page.status == 200 and "/score" in page.json()["paths"]
    (told,) = scripts.ask(scripts.get("/metrics"))
    pairs = [line.rpartition(" ") for line in told.body.decode().splitlines() if "azure" in line]
    lines = {key: value for key, _, value in pairs}
    memory = next(float(v) for k, v in lines.items() if k.startswith("gantline_model_memory_bytes{"))
    assert memory > 1 << 20 and any(k.startswith("gantline_host_restarts") for k in lines)


def test_a_script_below_a_config_yields_in_the_shapes_that_it_says(scripts: Running) -> None:
    async def test() -> list[Any]:
        model = scripts.stack.repository.find("yields")
        return [one[0].tolist() async for one in model.session.stream({"n": np.array([3])}, ["i"])]

    found = asyncio.run_coroutine_threadsafe(test(), scripts.loop).result(20)
    assert found == [[[0]], [[1]], [[2]]]


def test_unloading_it_ends_its_process(scripts: Running) -> None:
    engine = scripts.stack.repository.find("azure").session.program
    assert isinstance(engine, ScriptEngine) and len(set(engine.crew.pids)) == 2, "instance_group says so"
    (answer,) = scripts.ask(scripts.post("/v2/repository/models/azure/unload", {}))
    assert answer.status == 200 and engine.crew.pids == []
    (answer,) = scripts.ask(scripts.post("/models/azure/score", b"1"))
    assert answer.status == 404
    (answer,) = scripts.ask(scripts.post("/v2/repository/models/azure/load", {}))
    assert answer.status == 200
    (answer,) = scripts.ask(scripts.post("/models/azure/score", b"1"))
    assert answer.status == 200


def test_a_config_beside_a_package_says_what_its_clients_see(servers: Callable[..., Running], tmp_path: Path) -> None:
    """Shapes, names and labels are the file's; the package's golden sample is replayed in its own."""
    folder = tmp_path / "repository" / "scores"
    gantline.package(scorer(tmp_path / "net.onnx"), name="scores", output=folder / "1")
    (folder / "labels.txt").write_text("cat\ndog\nemu\n")
    (folder / "config.pbtxt").write_text(
        'name: "scores" max_batch_size: 4 '
        'input { name: "PIXELS" data_type: TYPE_FP32 dims: [ 2, 3 ] reshape { shape: 6 } } '
        'output { name: "SCORES" data_type: TYPE_FP32 dims: 3 label_filename: "labels.txt" }'
    )
    running = servers(tmp_path / "repository")
    (told,) = running.ask(running.get("/v2/models/scores"))
    assert told.json()["inputs"] == [{"name": "PIXELS", "datatype": "FP32", "shape": [-1, 2, 3]}]
    assert [t["name"] for t in told.json()["outputs"]] == ["SCORES"]
    assert running.stack.repository.find("scores").session.package.manifest.golden, "and it held"
    pixels = np.random.default_rng(3).standard_normal((2, 2, 3)).astype(np.float32)
    tensor = {"name": "PIXELS", "datatype": "FP32", "shape": [2, 2, 3], "data": pixels.ravel().tolist()}
    (answer,) = running.ask(running.post("/v2/models/scores/infer", {"inputs": [tensor]}))
    (scores,) = answer.json()["outputs"]
    np.testing.assert_allclose(np.reshape(scores["data"], (2, 3)), expected(pixels, 1), rtol=1e-5)
    flat = {**tensor, "shape": [2, 6]}
    (refused,) = running.ask(running.post("/v2/models/scores/infer", {"inputs": [flat]}))
    assert refused.status == 400 and "[-1,2,3]" in refused.json()["error"].replace(" ", "")
    one = {"name": "SCORES", "parameters": {"classification": 1}}
    (best,) = running.ask(running.post("/v2/models/scores/infer", {"inputs": [tensor], "outputs": [one]}))
    assert [line.split(":")[-1] for line in best.json()["outputs"][0]["data"]] == [
        ("cat", "dog", "emu")[i] for i in expected(pixels, 1).argmax(1)
    ]
