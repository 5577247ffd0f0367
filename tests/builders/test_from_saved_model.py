"""SavedModel directories and TensorFlow's own objects."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gantline.accelerators.agreement import compare
from gantline.accelerators.session import Session
from gantline.builders import from_saved_model
from gantline.builders.source import Source, converter_for

from gantline.api import package, takes_body
from gantline.errors import BadArtefact, UsageError
from gantline.packages import Package

Run = Callable[..., subprocess.CompletedProcess[str]]
slow = [pytest.mark.oracle, pytest.mark.slow]


def test_recognised_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"")
    source = Source("m", path=tmp_path)
    assert converter_for(source) is from_saved_model
    assert not takes_body(tmp_path, None), "a sample is rows, not a body"
    with pytest.raises(UsageError, match="packaging it needs tensorflow and tf2onnx: pip install tensorflow tf2onnx"):
        from_saved_model.convert(source, tmp_path)
    (tmp_path / "saved_model.pb").rename(tmp_path / "saved_model.pbtxt")
    with pytest.raises(BadArtefact, match="is a SavedModel written as text"):
        from_saved_model.convert(source, tmp_path)


def made(tensorflow: Run, source: Path, tmp_path: Path, *flags: str) -> Package:
    target = tmp_path / f"{source.name}.pkg"
    done = tensorflow("-m", "gantline", "package", str(source), "--name", "m", "-o", str(target), *flags)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return Package.open(target)


class TestDirectories:
    pytestmark = slow

    def test_keras_export(self, tensorflow: Run, keras_models: Path, tmp_path: Path) -> None:
        found = made(tensorflow, keras_models / "exported", tmp_path)
        assert found.manifest.engine == "onnx" and found.manifest.source is not None
        assert found.manifest.source.type == "SavedModel serving_default"
        session = Session.open(found)
        assert [(t.name, t.shape) for t in session.signature.inputs] == [("image", (-1, 8, 8, 1))]
        kept = np.load(keras_models / "cnn.npz")
        assert compare("digit", kept["out_digit"], session.run({"image": kept["in_image"]})[0]).breach(1e-4) == ""

    def test_a_signature_is_chosen(self, tensorflow: Run, keras_models: Path, tmp_path: Path) -> None:
        done = tensorflow("-m", "gantline", "package", str(keras_models / "two"), "--name", "m")
        assert done.returncode == 2
        assert "has no 'serving_default'; choose one with --signature: plus, times" in done.stderr
        session = Session.open(made(tensorflow, keras_models / "two", tmp_path, "--signature", "plus"))
        assert [(t.name, t.datatype, t.shape) for t in session.signature.inputs] == [
            ("n", "INT64", ()),
            ("x", "FP32", (-1, 2)),
        ]
        x = np.array([[1, 2], [3, 4]], np.float32)
        found = dict(zip(session.output_names, session.run({"x": x, "n": np.array(5)}), strict=True))
        assert found["z"].tolist() == [[6, 7], [8, 9]] and found["b"].tolist() == [3, 7]

    def test_what_reaches_beyond_the_model_is_refused(
        self, tensorflow: Run, keras_models: Path, tmp_path: Path
    ) -> None:
        done = tensorflow("-m", "gantline", "package", str(keras_models / "reaching"), "--name", "m", cwd=tmp_path)
        assert done.returncode == 3 and "holds WriteFile" in done.stderr
        assert list(tmp_path.iterdir()) == []

    def test_without_signatures(self, tensorflow: Run, keras_models: Path) -> None:
        done = tensorflow("-m", "gantline", "package", str(keras_models / "unsigned"), "--name", "m")
        assert done.returncode == 3 and "has no signatures" in done.stderr

    def test_a_broken_twin_is_caught(self, tensorflow: Run, keras_models: Path, tmp_path: Path) -> None:
        """What tf2onnx wrote, with eight of its largest tensor's numbers wrong by 0.002."""
        done = tensorflow("-c", BROKEN_TWIN, str(keras_models / "exported"), str(tmp_path))
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("script no faithful ONNX: tf2onnx: output 'output_0': relative error")

    def test_in_an_environment_made_for_it(
        self, keras_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """This process never has TensorFlow: a child of the environment converts, and answers for parity."""
        monkeypatch.setenv("GANTLINE_HOME", str(tmp_path / "home"))
        (tmp_path / "r.txt").write_text("tensorflow-cpu==2.21.0\nonnx==1.23.2\nonnxruntime==1.31.1\ntf2onnx==1.17.0\n")
        try:
            found = package(
                keras_models / "two", name="m", signature="times", env=tmp_path / "r.txt", output=tmp_path / "m.pkg"
            )
        finally:
            shutil.rmtree(tmp_path / "home", ignore_errors=True)  # two gigabytes
        assert found.manifest.engine == "onnx"
        assert found.manifest.parity is not None and found.manifest.parity.max_rel_error < 1e-6


IN_MEMORY = """
import json, sys
sys.path.insert(0, sys.argv[2])
import tensorflow as tf
from tensorflow_program import Reaching, Scaled
import gantline
from gantline.errors import GantlineError

def told(model, **more):
    try:
        made = gantline.package(model, name="m", output=sys.argv[1], overwrite=True, **more).manifest
    except GantlineError as e:
        return e.message
    return [made.engine, [t.name for t in made.signature.inputs], [t.name for t in made.signature.outputs]]

scaled = Scaled()
out = {
    "module": told(scaled),
    "chosen": told(scaled, signature="plus"),
    "function": told(scaled.times),
    "concrete": told(scaled.plus.get_concrete_function()),
    "open": told(tf.function(lambda x: x)),
    "reaching": told(Reaching()),
}
print(json.dumps(out))
"""


BROKEN_TWIN = """
import sys
from pathlib import Path
import onnx
from onnx import numpy_helper
from gantline.builders import tf_convert
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
made = tf_convert.convert(Source("m", path=Path(sys.argv[1])), Path(sys.argv[2]))
print(made.engine, made.reason)
"""


class TestObjects:
    pytestmark = slow

    def test_objects_in_memory(self, tensorflow: Run, tmp_path: Path) -> None:
        done = tensorflow("-c", IN_MEMORY, str(tmp_path / "m.pkg"), str(Path(__file__).parent))
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert "there are: plus, times" in found["module"]
        assert found["chosen"] == ["onnx", ["n", "x"], ["b", "z"]]
        assert found["function"] == ["onnx", ["x"], ["y"]]
        assert found["concrete"] == ["onnx", ["n", "x"], ["b", "z"]]
        assert "has no signature" in found["open"]
        assert "holds WriteFile" in found["reaching"]
