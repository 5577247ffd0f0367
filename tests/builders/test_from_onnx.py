"""ONNX files: old and new, with external data, of fixed batch; and what is no ONNX file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from gantline.accelerators.replay import replay
from gantline.accelerators.session import Session
from gantline.accelerators.warming import warm_up
from gantline.builders.canonical import canonicalise
from onnx import helper, numpy_helper

from gantline.errors import BadArtefact, BadRequest, VerificationFailed
from gantline.packages import Package
from gantline.tensors import Array

Packager = Callable[..., Package]
shape = helper.make_tensor_value_info
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def linear(path: Path, batch: int | None = None, opset: int = 17, wide: int = 4) -> Path:
    weight = numpy_helper.from_array(np.arange(wide * 2, dtype=np.float32).reshape(wide, 2), "weight")
    node = helper.make_node("MatMul", ["X", "weight"], ["Y"], name="node", doc_string="/home/me/train.py")
    graph = helper.make_graph([node], "g", [shape("X", 1, [batch, wide])], [shape("Y", 1, [batch, 2])], [weight])
    model = helper.make_model(graph, producer_name="tool", opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("opset", [7, 9, 13, 17, 21])
def test_any_opset_from_seven_up(packaged: Packager, tmp_path: Path, opset: int) -> None:
    package = packaged(linear(tmp_path / "m.onnx", opset=opset))
    manifest = package.manifest
    assert manifest.source is not None and manifest.source.versions["opset ai.onnx"] == str(opset)
    assert manifest.source.type == "tool" and manifest.parity is not None and manifest.parity.max_abs_error == 0
    assert manifest.batching.max_batch_size == 64 and manifest.parity.sample == "synthetic"
    assert b"home" not in package.model_path.read_bytes()
    assert len(replay(Session.open(package))) == 1


@pytest.mark.parametrize("name", ["light_squeezenet", "light_shufflenet"])
def test_old_exports_of_caffe2_and_mxnet_days(packaged: Packager, name: str) -> None:
    """ir_version 3 with weights listed as inputs; the batch is fixed at one."""
    package = packaged(LIGHT / f"{name}.onnx")
    signature = package.manifest.signature
    assert signature is not None and len(signature.inputs) == 1 and signature.inputs[0].shape[0] == 1
    assert "the batch size is fixed: requests are never stacked" in package.manifest.notes
    assert package.manifest.batching.max_batch_size == 0


def test_the_same_program_is_the_same_package(packaged: Packager, tmp_path: Path) -> None:
    one = linear(tmp_path / "one.onnx")
    model = onnx.load(one)
    model.producer_name, model.graph.node[0].name, model.graph.initializer[0].name = "tool", "other", "kernel"
    model.graph.node[0].input[1] = "kernel"
    model.graph.node[0].doc_string = "elsewhere"
    onnx.save(model, tmp_path / "two.onnx")
    first = packaged(one, "m")
    assert first.lineage()["source"] == "one.onnx"
    second = packaged(tmp_path / "two.onnx", "m", overwrite=True)
    assert first.digest == second.digest
    assert second.lineage()["source"] == "two.onnx"


def test_external_data_is_brought_in(packaged: Packager, tmp_path: Path) -> None:
    path = linear(tmp_path / "m.onnx", wide=64)
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="m.bin", size_threshold=0)
    package = packaged(path, "big")
    assert [f.path for f in package.manifest.files] == ["golden/reply.bin", "golden/request.bin", "model.onnx"]


def test_a_broken_canonical_form_is_caught(packaged: Packager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = canonicalise

    def broken(source: Path, target: Path) -> list[Path]:
        files = real(source, target)
        model = onnx.load(target)
        weights = numpy_helper.to_array(model.graph.initializer[0]).copy()
        weights[0, 0] += 0.01
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, model.graph.initializer[0].name))
        onnx.save(model, target)
        return files

    monkeypatch.setattr("gantline.builders.pack.canonicalise", broken)
    path = linear(tmp_path / "m.onnx")
    with pytest.raises(VerificationFailed, match=r"output 'Y': relative error .* row \d+"):
        packaged(path)
    assert not (tmp_path / "model.pkg").exists()


def test_rows_that_depend_on_each_other_are_not_stacked(packaged: Packager, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["X"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["X", "mean"], ["Y"]),
    ]
    graph = helper.make_graph(nodes, "g", [shape("X", 1, [None, 3])], [shape("Y", 1, [None, 3])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, tmp_path / "m.onnx")
    package = packaged(tmp_path / "m.onnx")
    assert package.manifest.batching.max_batch_size == 0
    assert "rows depend on each other: requests are never stacked" in package.manifest.notes


def test_a_given_sample_and_a_wrong_one(packaged: Packager, tmp_path: Path) -> None:
    path = linear(tmp_path / "m.onnx")
    sample: dict[str, Array] = {"a": np.ones(5), "b": np.zeros(5), "c": np.ones(5), "d": np.ones(5)}
    package = packaged(path, sample=sample)
    assert package.manifest.parity is not None and package.manifest.parity.rows == 5
    with pytest.raises(BadRequest, match=r"5 columns.*takes 4"):
        packaged(path, "other", sample={**sample, "e": np.ones(5)})
    assert not (tmp_path / "other.pkg").exists()


def test_a_model_that_no_synthetic_row_fits_needs_a_sample(packaged: Packager, tmp_path: Path) -> None:
    """It wants its one input in as many columns as its other says: nobody guesses that, and nobody has seen it run."""
    node = helper.make_node("Reshape", ["X", "S"], ["Y"])
    graph = helper.make_graph([node], "g", [shape("X", 1, [6]), shape("S", 7, [2])], [shape("Y", 1, [None, None])])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), tmp_path / "m.onnx")
    with pytest.raises(BadArtefact, match=r"'model': the model does not run on synthetic data .*--sample"):
        packaged(tmp_path / "m.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]
    package = packaged(tmp_path / "m.onnx", sample={"X": np.arange(6.0), "S": np.array([2, 3])})
    assert package.manifest.parity is not None and len(package.manifest.golden) == 1


def test_a_model_that_takes_one_row_whatever_it_says(packaged: Packager, tmp_path: Path) -> None:
    """Exporters leave the number of rows free over a program with a one in it."""
    nodes = [helper.make_node("Squeeze", ["X", "A"], ["row"]), helper.make_node("Add", ["X", "row"], ["Y"])]
    first = numpy_helper.from_array(np.array([0]), "A")
    graph = helper.make_graph(nodes, "g", [shape("X", 1, [None, 4])], [shape("Y", 1, [None, 4])], [first])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), tmp_path / "m.onnx")
    package = packaged(tmp_path / "m.onnx")
    assert package.manifest.parity is not None and package.manifest.parity.rows == 1
    assert "it takes one row at a time: requests are never stacked" in package.manifest.notes
    assert package.manifest.batching.max_batch_size == 0


def saved(graph: onnx.GraphProto, path: Path) -> Path:
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def test_first_dimensions_that_are_no_rows(packaged: Packager, tmp_path: Path) -> None:
    """Columns of one input are rows of the other: it runs whole or not at all, in packaging and at warm-up."""
    node = helper.make_node("MatMul", ["a", "b"], ["y"])
    inputs = [shape("a", 1, ["n", "k"]), shape("b", 1, ["k", "m"])]
    path = saved(helper.make_graph([node], "g", inputs, [shape("y", 1, ["n", "m"])]), tmp_path / "m.onnx")
    package = packaged(path)
    assert package.manifest.batching.max_batch_size == 0 and package.manifest.parity is not None
    session = Session.open(package)
    warm_up(session)
    assert session.run_ns > 0 and replay(session)[0].max_rel == 0


def test_a_model_without_inputs(packaged: Packager, tmp_path: Path) -> None:
    table = numpy_helper.from_array(np.ones((2, 3), np.float32), "c")
    graph = helper.make_graph([helper.make_node("Identity", ["c"], ["y"])], "g", [], [shape("y", 1, [2, 3])], [table])
    package = packaged(saved(graph, tmp_path / "m.onnx"))
    assert package.manifest.parity is not None and len(replay(Session.open(package))) == 1


def test_random_numbers_are_called_by_their_name(packaged: Packager, tmp_path: Path) -> None:
    node = helper.make_node("RandomNormalLike", ["a"], ["y"])
    graph = helper.make_graph([node], "g", [shape("a", 1, ["n", 4])], [shape("y", 1, ["n", 4])])
    with pytest.raises(VerificationFailed, match="answers differently to the same input: it draws random numbers"):
        packaged(saved(graph, tmp_path / "m.onnx"))


def test_few_rows_of_what_is_large(packaged: Packager, tmp_path: Path) -> None:
    """64 pictures of 12 MB each, and what is made of them inside a network, fill a memory."""
    node = helper.make_node("ReduceMean", ["a"], ["y"], axes=[1, 2, 3])
    graph = helper.make_graph([node], "g", [shape("a", 1, ["n", 3, 1024, 1024])], [shape("y", 1, ["n", 1, 1, 1])])
    parity = packaged(saved(graph, tmp_path / "m.onnx")).manifest.parity
    assert parity is not None and parity.rows == 3


def test_what_onnxruntime_cannot_run_is_refused(packaged: Packager, tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Invented", ["X"], ["Y"], domain="nobody")], "g", [shape("X", 1, [1])], [shape("Y", 1, [1])]
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("nobody", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "m.onnx")
    with pytest.raises(BadArtefact, match=r"m\.onnx: onnxruntime .* cannot load it: .*Invented") as caught:
        packaged(tmp_path / "m.onnx")
    assert "\n" not in caught.value.message
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]
