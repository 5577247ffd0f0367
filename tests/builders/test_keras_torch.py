"""Keras on torch and on jax, in memory: each converted by what can, and held to what it answers itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
pytestmark = [pytest.mark.oracle, pytest.mark.slow]
PROGRAM = """
import json, os, sys
sys.path += sys.argv[3:]
os.environ["KERAS_BACKEND"] = sys.argv[2]
import keras
import gantline
L = keras.layers
number, category = keras.Input((8,), name="num"), keras.Input((1,), dtype="int32", name="cat")
joined = L.Concatenate()([number, L.Flatten()(L.Embedding(5, 3)(category))])
answers = {"risk": L.Dense(1, activation="sigmoid")(joined), "offer": L.Dense(2)(joined)}
words = keras.Sequential([keras.Input((None,), dtype="int32"), L.Embedding(50, 8), L.LSTM(4), L.Dense(2)])
out = []
for model in (keras.Model({"num": number, "cat": category}, answers), words):
    made = gantline.package(model, name="m", output=sys.argv[1], overwrite=True).manifest
    signature = made.signature
    out.append([made.engine, [t.name for t in signature.inputs], [t.name for t in signature.outputs],
                made.parity.max_rel_error, made.source.framework, *made.notes])
print(json.dumps(out))
"""


BROKEN_TWIN = """
import onnx
from onnx import numpy_helper
from gantline.builders import from_torch_programs as programs

def broken(write):
    def changed(job):
        path = write(job)
        model = onnx.load(path)
        weights = max(model.graph.initializer, key=lambda t: len(t.raw_data))
        values = numpy_helper.to_array(weights).copy()
        values.reshape(-1)[:8] += 2e-3
        weights.CopyFrom(numpy_helper.from_array(values, weights.name))
        onnx.save(model, path)
        return path
    return changed

programs.by_dynamo, programs.by_legacy = broken(programs.by_dynamo), broken(programs.by_legacy)
model = keras.Sequential([keras.Input((8,)), L.Dense(16), L.Dense(2)])
made = gantline.package(model, name="m", output=sys.argv[1], overwrite=True).manifest
print(json.dumps([made.engine, made.engine_reason]))
"""


def told(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr
    several, words = json.loads(done.stdout)
    assert several[:3] == ["onnx", ["cat", "num"], ["offer", "risk"]]
    assert words[:3] == ["onnx", ["input"], ["output"]]
    assert max(several[3], words[3]) < 1e-5 and several[4] == "keras"


@pytest.mark.torch
def test_on_torch(tensorflow: Run, tmp_path: Path) -> None:
    """This interpreter has torch, the other one Keras; torch's exporter keeps the length of the example."""
    pytest.importorskip("torch")
    keras = tensorflow("-c", "import site; print(site.getsitepackages()[0])").stdout.strip()
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "m.pkg"), "torch", keras]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    told(done)
    assert "has 8 here" in json.loads(done.stdout)[1][5]
    command[2] = PROGRAM.partition("number, category")[0] + BROKEN_TWIN
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    engine, reason = json.loads(done.stdout)
    assert engine == "torch" and "output 'output': relative error" in reason


def test_on_jax(tensorflow: Run, tmp_path: Path) -> None:
    done = tensorflow("-c", PROGRAM, str(tmp_path / "m.pkg"), "jax")
    told(done)
    assert "compared with what jax answers" in json.loads(done.stdout)[0][5]
