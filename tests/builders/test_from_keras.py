"""Keras 3 models from files and in memory, trained, packaged and asked again without Keras."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gantline.accelerators.agreement import compare
from gantline.accelerators.session import Session
from gantline.builders import from_keras
from gantline.builders.source import Source, converter_for

from gantline.errors import BadArtefact, UsageError
from gantline.packages import Package
from gantline.tensors import Array

Run = Callable[..., subprocess.CompletedProcess[str]]
slow = [pytest.mark.oracle, pytest.mark.slow]


def test_recognised_by_suffix() -> None:
    for name in ("m.keras", "m.KERAS", "m.h5", "m.hdf5"):
        assert converter_for(Source("m", path=Path(name))) is from_keras


def test_what_is_missing_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadArtefact, match=r"gone\.keras: no such file; expected a Keras model"):
        from_keras.convert(Source("m", path=tmp_path / "gone.keras"), tmp_path)
    (tmp_path / "m.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    # with torch here, Keras alone is missing
    with pytest.raises(
        UsageError, match=r"m\.h5: packaging it needs (tensorflow and )?keras( and tf2onnx)?: pip install"
    ):
        from_keras.convert(Source("m", path=tmp_path / "m.h5"), tmp_path)


def packaged(tensorflow: Run, source: Path, tmp_path: Path, *flags: str) -> Package:
    """By the command line, in the environment with TensorFlow; it says nothing but what it is to say."""
    target = tmp_path / f"{source.stem}.pkg"
    done = tensorflow("-m", "gantline", "package", str(source), "--name", "m", "-o", str(target), *flags)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return Package.open(target)


def refused(tensorflow: Run, source: Path, *flags: str) -> str:
    done = tensorflow("-m", "gantline", "package", str(source), "--name", "m", "-o", "never.pkg", *flags)
    assert done.returncode in (2, 3), done
    return done.stderr


class TestFiles:
    pytestmark = slow

    @pytest.mark.parametrize("name", ["mlp", "cnn", "several", "lstm", "lookup"])
    def test_a_keras_file_becomes_onnx(self, tensorflow: Run, keras_models: Path, tmp_path: Path, name: str) -> None:
        """Held here, without Keras, to what Keras's own predict() said on real digits and other rows."""
        made = packaged(tensorflow, keras_models / f"{name}.keras", tmp_path)
        manifest = made.manifest
        assert (manifest.engine, manifest.engine_reason) == ("onnx", "")
        assert manifest.source is not None and manifest.source.framework == "keras"
        assert manifest.source.versions["tf2onnx"] and manifest.source.versions["keras"].startswith("3.")
        assert manifest.parity is not None and manifest.parity.max_rel_error < 1e-5
        assert manifest.golden and manifest.batching.max_batch_size == 64
        assert_answers(made, keras_models / f"{name}.npz")

    def test_a_legacy_file(self, tensorflow: Run, keras_models: Path, tmp_path: Path) -> None:
        made = packaged(tensorflow, keras_models / "legacy.h5", tmp_path)
        assert made.manifest.engine == "onnx"
        assert_answers(made, keras_models / "mlp.npz")

    def test_given_rows(self, tensorflow: Run, keras_models: Path, tmp_path: Path) -> None:
        given = np.load(keras_models / "several.npz")
        np.savez(tmp_path / "rows.npz", num=given["in_num"], cat=given["in_cat"])
        rows = ("--sample", str(tmp_path / "rows.npz"))
        made = packaged(tensorflow, keras_models / "several.keras", tmp_path, *rows)
        assert made.manifest.parity is not None
        assert (made.manifest.parity.sample, made.manifest.parity.rows) == ("given", 40)

    def test_what_onnx_has_not_goes_behind_a_script(self, tensorflow: Run, keras_models: Path, tmp_path: Path) -> None:
        made = packaged(tensorflow, keras_models / "splitting.keras", tmp_path)
        assert made.manifest.engine == "script"
        assert "StringSplitV2" in made.manifest.engine_reason
        assert {r.partition("==")[0] for r in made.manifest.environment.requirements} == {"numpy", "tensorflow-cpu"}
        assert made.manifest.parity is not None and made.manifest.golden

    def test_code_in_a_file_is_refused_and_can_be_trusted(
        self, tensorflow: Run, keras_models: Path, tmp_path: Path
    ) -> None:
        for name in ("lambda.keras", "lambda.h5"):
            said = refused(tensorflow, keras_models / name)
            assert "holds a Lambda layer" in said and "--trust Lambda" in said
            assert len(said.strip().splitlines()) == 1
        assert (
            packaged(tensorflow, keras_models / "lambda.keras", tmp_path, "--trust", "Lambda").manifest.engine == "onnx"
        )

    def test_weights_alone_are_no_model(self, tensorflow: Run, keras_models: Path) -> None:
        assert "holds weights and no model" in refused(tensorflow, keras_models / "only.weights.h5")


IN_MEMORY = """
import json, sys
import keras, numpy as np
import gantline
from gantline.errors import GantlineError
keras.utils.set_random_seed(0)
L = keras.layers

class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = L.Dense(3)
    def call(self, x):
        return {"sum": keras.ops.sum(x, axis=1), "dense": self.dense(x)}

class Noisy(L.Layer):
    def call(self, x):
        return x + keras.random.normal((1,))

def told(model, **more):
    try:
        made = gantline.package(model, name="m", output=sys.argv[1], overwrite=True, **more)
    except GantlineError as e:
        return e.message
    signature, parity = made.manifest.signature, made.manifest.parity
    return [made.manifest.engine, [t.name for t in signature.inputs], [t.name for t in signature.outputs],
            parity.max_rel_error, made.manifest.engine_reason]

x = keras.Input((4,))
out = {
    "named": told(keras.Model(x, L.Dense(2, name="score")(L.Dense(8)(x)))),
    "subclassed": told(Own()),
    "sampled": told(Own(), sample=np.ones((6, 4), np.float32)),
    "noisy": told(keras.Model(x, Noisy()(x))),
    "augmented": told(keras.Sequential([
        keras.Input((8, 8, 3)), L.RandomFlip(), L.RandomRotation(0.2), L.Flatten(), L.Dense(2)])),
    "code": told(keras.Sequential([keras.Input((4,)), L.Lambda(lambda v: v * 2)])),
}
print(json.dumps(out))
"""

BROKEN_TWIN = """
import sys
from pathlib import Path
import onnx, numpy as np, keras
from onnx import numpy_helper
from gantline.builders import tf_convert
from gantline.builders.keras_convert import convert_model
from gantline.builders.source import Source

write = tf_convert.write_onnx
def broken(saved, key, signature, target):
    write(saved, key, signature, target)
    model = onnx.load(target)
    weights = max(model.graph.initializer, key=lambda t: len(t.raw_data))
    values = numpy_helper.to_array(weights).copy()
    values.reshape(-1)[:8] += 2e-3
    weights.CopyFrom(numpy_helper.from_array(values, weights.name))
    onnx.save(model, target)

tf_convert.write_onnx = broken
model = keras.saving.load_model(sys.argv[1])
made = convert_model(model, Source("m", object=model), Path(sys.argv[2]), "mlp")
print(made.engine, made.reason)
"""


class TestInMemory:
    pytestmark = slow

    def test_models_in_memory(self, tensorflow: Run, tmp_path: Path) -> None:
        done = tensorflow("-c", IN_MEMORY, str(tmp_path / "m.pkg"))
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)  # and nothing else was printed
        engine, inputs, outputs, error, reason = found["named"]
        assert (engine, inputs, outputs, reason) == ("onnx", ["input"], ["score"], "") and error < 1e-5
        assert "does not say what its inputs are" in found["subclassed"]
        assert found["sampled"][:3] == ["onnx", ["input"], ["dense", "sum"]]
        assert "answers differently to the same input: it draws random numbers" in found["noisy"]
        engine, _, _, error, reason = found["augmented"]
        assert engine == "onnx" and error < 1e-5, reason
        assert found["code"][0] == "onnx", "the user's own code, in the user's own process"

    def test_a_broken_twin_is_caught(self, tensorflow: Run, keras_models: Path, tmp_path: Path) -> None:
        """What tf2onnx wrote, with eight weights of 2,048 wrong by 0.002: refused, and served by TensorFlow instead."""
        done = tensorflow("-c", BROKEN_TWIN, str(keras_models / "mlp.keras"), str(tmp_path))
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("script no faithful ONNX: tf2onnx: output 'output': relative error")


def assert_answers(made: Package, kept: Path) -> None:
    values = np.load(kept)
    session = Session.open(made)
    given = {n[3:]: _texts(values[n]) for n in values.files if n.startswith("in_")}
    session.signature.check("m", given)
    found = dict(zip(session.output_names, session.run(given), strict=True))
    wanted = {n[4:]: values[n] for n in values.files if n.startswith("out_")}
    assert set(found) == set(wanted)
    for name, want in wanted.items():
        assert compare(name, want, found[name]).breach(1e-4) == ""


def _texts(values: Array) -> Array:
    return values.astype(object) if values.dtype.kind == "U" else values
