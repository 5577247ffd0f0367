"""A Triton model repository's entry as a source: config.pbtxt key by key, on real ONNX models."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gantline.accelerators.replay import replay
from gantline.accelerators.session import Session
from gantline.accelerators.triton import configured
from gantline.builders import from_triton
from gantline.builders.source import Source
from gantline.serve.opening import open_version
from gantline.serve.repository_layout import find_entries

from gantline.errors import BadArtefact, Unsupported, UsageError, VerificationFailed
from gantline.packages import Package
from gantline.settings import ServeSettings, resolve
from gantline.tensors import Array
from tests.builders.triton_models import FULL, LEFT, entry, expected, scorer

Packager = Callable[..., Package]


def test_every_key_is_acted_on_or_listed(packaged: Packager, tmp_path: Path) -> None:
    package = packaged(entry(tmp_path), "scores")
    manifest, signature = package.manifest, package.manifest.signature
    assert signature is not None and manifest.source is not None and manifest.parity is not None
    assert manifest.source.framework == "triton" and manifest.parity.max_abs_error == 0
    assert [(t.name, t.datatype, t.shape) for t in signature.inputs] == [("PIXELS", "FP32", (-1, 2, 3))]
    assert [(t.name, t.shape) for t in signature.outputs] == [("SCORES", (-1, 3)), ("BEST", (-1, 1))], "no HIDDEN"
    assert signature.outputs[0].labels == ("cat", "dog", "emu")
    assert manifest.batching.max_batch_size == 16
    listed = {m[1] for n in manifest.notes if (m := re.fullmatch(r"config\.pbtxt: (.+) is not applied: .+", n))}
    assert listed == set(LEFT)
    assert any(n == "version 3 of the entry; others are packages of their own: scores/{1, 2}" for n in manifest.notes)
    package.verify_files()


def test_it_answers_as_numpy_does(packaged: Packager, tmp_path: Path) -> None:
    place = entry(tmp_path)
    pixels = np.random.default_rng(1).standard_normal((5, 2, 3)).astype(np.float32)
    for path, version in ((place, 3), (place / "1", 1)):
        with_labels = packaged(path, f"v{version}", sample={"PIXELS": pixels})
        session = Session.open(with_labels)
        scores, best = session.run({"PIXELS": pixels})
        np.testing.assert_allclose(scores, expected(pixels, version), rtol=1e-5)
        assert best.shape == (5, 1) and best[:, 0].tolist() == expected(pixels, version).argmax(1).tolist()
        assert len(replay(session)) == 1
        session.close()


def test_serving_acts_on_what_the_package_carries(packaged: Packager, tmp_path: Path) -> None:
    package = packaged(entry(tmp_path), "scores")
    (found,) = find_entries([str(package.path)])
    opened = open_version(found, resolve(ServeSettings, {}, {}))
    try:
        policy = opened.tuning.policy
        assert (policy.max_rows, policy.levels, policy.default_level) == (16, 3, 2)
        assert (policy.timeout_ns, policy.max_queue_requests, opened.tuning.instances) == (2_000_000_000, 100, 2)
        assert repr(opened.tuning.pace).startswith("<Delayed") or type(opened.tuning.pace).__name__ == "Delayed"
        assert opened.session.signature == package.manifest.signature
    finally:
        opened.session.close()


def test_a_config_that_shows_the_model_otherwise_is_caught(
    packaged: Packager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broken twin: a reshape that mixes up the elements of a row, by little enough to run."""
    real = configured.reshaped

    def broken(array: Array, found: configured.Shape, wanted: configured.Shape) -> Array:
        done = real(array, found, wanted)
        return done[:, [1, 0, 2, 3, 4, 5]] if done.shape[1:] == (6,) else done

    monkeypatch.setattr(configured, "reshaped", broken)
    with pytest.raises(VerificationFailed, match="does not agree with its source: output 'SCORES'"):
        packaged(entry(tmp_path), "scores")
    assert not (tmp_path / "scores.pkg").exists()


def test_rows_that_depend_on_each_other_are_not_stacked_whatever_the_config_says(
    packaged: Packager, tmp_path: Path
) -> None:
    from onnx import helper

    info = helper.make_tensor_value_info
    nodes = [helper.make_node("ReduceMax", ["x"], ["m"], axes=[0]), helper.make_node("Sub", ["x", "m"], ["y"])]
    graph = helper.make_graph(nodes, "g", [info("x", 1, ["N", 4])], [info("y", 1, ["N", 4])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    (tmp_path / "m/1").mkdir(parents=True)
    (tmp_path / "m/1/model.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "m/config.pbtxt").write_text("max_batch_size: 8 dynamic_batching {}")
    package = packaged(tmp_path / "m")
    assert package.manifest.batching.max_batch_size == 0
    assert any(
        n.startswith("max_batch_size 8 of the source is not applied: rows depend") for n in package.manifest.notes
    )
    (found,) = find_entries([str(package.path)])
    opened = open_version(found, resolve(ServeSettings, {}, {}))
    assert opened.tuning.policy.max_rows == 0
    opened.session.close()


def test_a_sequence_model_is_proved_by_a_sequence(packaged: Packager, tmp_path: Path) -> None:
    """y = s + x, and y is the next request's s: the state begins at what a file says."""
    from onnx import helper

    info = helper.make_tensor_value_info
    nodes = [helper.make_node("Add", ["x", "s"], ["y"]), helper.make_node("Identity", ["y"], ["t"])]
    tensors = [info("x", 1, ["N", 2]), info("s", 1, ["N", 2])], [info("y", 1, ["N", 2]), info("t", 1, ["N", 2])]
    model = helper.make_model(
        helper.make_graph(nodes, "g", *tensors), opset_imports=[helper.make_opsetid("", 13)], ir_version=7
    )
    place = tmp_path / "sums"
    (place / "1").mkdir(parents=True)
    (place / "initial_state").mkdir()
    (place / "initial_state/ten").write_bytes(np.full(2, 10, np.float32).tobytes())
    (place / "1/model.onnx").write_bytes(model.SerializeToString())
    (place / "config.pbtxt").write_text(
        'max_batch_size: 4 sequence_batching { state { input_name: "s" output_name: "t" data_type: TYPE_FP32 dims: 2 '
        'initial_state { data_type: TYPE_FP32 dims: 2 data_file: "ten" name: "first" } } }'
    )
    package = packaged(place)
    assert [g.kind for g in package.manifest.golden] == ["sequence"] * 3
    signature = package.manifest.signature
    assert signature is not None
    assert [t.name for t in (*signature.inputs, *signature.outputs)] == ["x", "y"], "the state is the server's affair"
    session = Session.open(package)
    assert session.run({"x": np.ones((1, 2), np.float32)})[0].tolist() == [[11, 11]]
    assert len(replay(session)) == 3
    session.close()


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        ('ensemble_scheduling { step { model_name: "a" } step { model_name: "b" } }', Unsupported, r"models \(a, b\)"),
        ('platform: "tensorrt_plan"', Unsupported, "package the ONNX file that it was built from"),
        ('backend: "fil"', Unsupported, "package its XGBoost, LightGBM or scikit-learn file"),
        (
            'platform: "tensorflow_savedmodel"',
            BadArtefact,
            "no model.savedmodel, which",
        ),
        ('backend: "mine"', Unsupported, "backend 'mine' is not supported"),
        ('default_model_filename: "gone.onnx"', BadArtefact, r"no gone\.onnx, which the backend 'onnxruntime' runs"),
        ('default_model_filename: "../1/net.onnx"', BadArtefact, "is outside"),
        ('output { name: "SCORES" label_filename: "gone.txt" }', BadArtefact, "label file .*gone"),
        ('input { name: "x" dims: 6 }', BadArtefact, "input 'x' is not the model's"),
        (
            'max_batch_size: 4 input { name: "PIXELS" dims: 4 reshape { shape: 6 } }',
            BadArtefact,
            r"dims \[4\] cannot be reshaped to \[6\]",
        ),
        ("instance_group { count: 65 }", BadArtefact, "what becomes of instances: 65 is not"),
        ("max_batch_size: eight", BadArtefact, r"config\.pbtxt:1: "),
        ('parameters { key: "intra_op_thread_count" value { string_value: "many" } }', BadArtefact, "is 'many'"),
        ("version_policy { specific { versions: 9 } }", BadArtefact, "serves none of the versions 1"),
    ],
)
def test_what_cannot_be_packaged_says_why(
    packaged: Packager, tmp_path: Path, text: str, kind: type[Exception], told: str
) -> None:
    scorer(tmp_path / "m/1/model.onnx")
    (tmp_path / "m/config.pbtxt").write_text(text)
    with pytest.raises(kind, match=told) as caught:
        packaged(tmp_path / "m")
    assert "\n" not in str(caught.value) and not (tmp_path / "model.pkg").exists()


def test_a_whole_repository_is_told_apart(packaged: Packager, tmp_path: Path) -> None:
    place = entry(tmp_path / "repository")
    with pytest.raises(UsageError, match=rf"gantline package {place} --name scores"):
        packaged(tmp_path / "repository")


def test_without_a_config_the_model_speaks_for_itself(packaged: Packager, tmp_path: Path) -> None:
    scorer(tmp_path / "m/1/model.onnx")
    package = packaged(tmp_path / "m")
    assert package.manifest.config is None and package.manifest.signature is not None
    assert any("no config.pbtxt" in n for n in package.manifest.notes)
    assert FULL.startswith("\nname")


def test_a_project_with_a_script_is_no_repository(tmp_path: Path) -> None:
    entry(tmp_path / "project")
    (tmp_path / "project/score.py").write_text("")
    assert not from_triton.recognises(Source("m", tmp_path / "project"))
    assert from_triton.recognises(Source("m", tmp_path / "project/scores"))


def test_names_with_spaces_and_of_all_scripts(packaged: Packager, tmp_path: Path) -> None:
    place = entry(tmp_path / "mödel répository 東京").rename(tmp_path / "größe 3")
    (place / "labels.txt").rename(place / "étiquettes 1.txt")
    text = (place / "config.pbtxt").read_text().replace("labels.txt", "étiquettes 1.txt")
    (place / "config.pbtxt").write_bytes(("\ufeff" + text.replace("\n", "\r\n")).encode())
    package = packaged(place, "scores")
    assert package.manifest.signature is not None and package.manifest.signature.outputs[0].labels[0] == "cat"
    package.verify_files()
