"""The trial of a converted file, with a twin that is wrong by a little, at one batch size only, or by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from gantline.builders.onnx_trial import Draw, Subject, evidence_of, first_that_agrees, one_line
from gantline.builders.source import Limits, Source
from onnx import TensorProto, helper, numpy_helper

from gantline.errors import BadArtefact, BadRequest, Unsupported
from gantline.signature import Signature, TensorSpec
from gantline.tensors import Array

W = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
SIGNATURE = Signature((TensorSpec("x", "FP32", (-1, 4)),), (TensorSpec("y", "FP32", (-1, 3)),))


def draw(rows: int, size: int) -> dict[str, Array]:
    return {"x": np.random.default_rng(rows).normal(size=(rows, 4)).astype(np.float32)}


def predict(inputs: Mapping[str, Array]) -> list[Array]:
    return [inputs["x"] @ W]


def subject(draw: Draw = draw) -> Subject:
    return Subject("m.keras", SIGNATURE, predict, draw)


def write(target: Path, weights: Array = W, name: str = "y", rows: int = 0) -> None:
    """x @ weights as ONNX; with `rows`, in a shape that holds for that many rows alone."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["t"]), helper.make_node("Reshape", ["t", "s"], [name])]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 3])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.array([rows or -1, 3], np.int64), "s")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    target.write_bytes(model.SerializeToString())


def tried(tmp_path: Path, **twin: object) -> str:
    evidence = evidence_of(subject(), Source("m", rows=16))
    ways = (("broken", lambda target: write(target, **twin)),)  # type: ignore[arg-type]
    made, reason = first_that_agrees(ways, subject(), evidence, Limits(), tmp_path)
    assert (made is None) == bool(reason)
    return reason


def test_a_faithful_file_is_taken(tmp_path: Path) -> None:
    assert tried(tmp_path) == ""


def test_a_weight_that_is_wrong_by_a_little_is_found(tmp_path: Path) -> None:
    twin = W.copy()
    twin[2, 1] *= 1.001
    assert "broken: output 'y': relative error" in tried(tmp_path, weights=twin)


def test_a_batch_size_that_became_a_constant_is_found(tmp_path: Path) -> None:
    assert "input_shape_size" in tried(tmp_path, rows=16) or "reshape" in tried(tmp_path, rows=16).lower()


def test_another_name_is_found(tmp_path: Path) -> None:
    assert "the converter made 'z' FP32 of 'y' FP32" in tried(tmp_path, name="z")


def test_the_next_way_is_tried_and_reasons_hold_no_paths(tmp_path: Path) -> None:
    def fails(target: Path) -> None:
        raise ValueError(f"cannot write {target} at 0x7f00aa")

    def lacks(target: Path) -> None:
        raise Unsupported("ONNX has no StringSplitV2")

    evidence = evidence_of(subject(), Source("m", rows=8))
    made, reason = first_that_agrees((("a", fails), ("b", write)), subject(), evidence, Limits(), tmp_path)
    assert made == tmp_path / "b.onnx" and reason == ""
    made, reason = first_that_agrees((("a", fails), ("b", lacks)), subject(), evidence, Limits(), tmp_path)
    assert made is None
    assert reason == "no faithful ONNX: a: ValueError: cannot write a.onnx at ; b: ONNX has no StringSplitV2"


def test_rows_that_the_model_does_not_take() -> None:
    with pytest.raises(BadRequest, match=r"--sample: input 'x' takes shape \[-1,4\], found \[5,7\]"):
        evidence_of(subject(), Source("m", sample={"": np.zeros((5, 7))}))

    def refuses(inputs: Mapping[str, Array]) -> list[Array]:
        raise RuntimeError("no\nsuch  word")

    with pytest.raises(BadRequest, match="m does not take these rows: no such word"):
        evidence_of(Subject("m", SIGNATURE, refuses, draw), Source("m", sample={"": np.zeros((5, 4))}))
    with pytest.raises(BadArtefact, match=r"m: fails on synthetic data .no such word.; package it with --sample"):
        evidence_of(Subject("m", SIGNATURE, refuses, draw), Source("m"))


def test_a_model_that_draws_random_numbers_has_no_reference() -> None:
    random = np.random.default_rng(0)
    noisy = Subject("m", SIGNATURE, lambda inputs: [inputs["x"] @ W + random.normal(size=3)], draw)
    with pytest.raises(BadArtefact, match="answers differently to the same input"):
        evidence_of(noisy, Source("m"))


def test_given_rows_are_kept_whole_and_open_lengths_are_varied() -> None:
    found = evidence_of(subject(), Source("m", sample={"": np.ones((600, 4))}))
    assert len(found.rows["x"]) == 600 and found.size == 0
    assert [len(c.inputs["x"]) for c in found.cases] == [256, 1, 2, 3, 5]
    free = Signature((TensorSpec("x", "FP32", (-1, -1)),), (TensorSpec("y", "FP32", (-1,)),))
    sums = Subject("m", free, lambda i: [i["x"].sum(axis=1)], lambda rows, size: {"x": np.ones((rows, size), "f4")})
    found = evidence_of(sums, Source("m", rows=4))
    assert [c.inputs["x"].shape for c in found.cases] == [(4, 8), (1, 8), (2, 8), (3, 8), (3, 16)]


def test_what_frameworks_say_in_one_line() -> None:
    assert one_line(ValueError("a\n  b")) == "a b" and one_line(KeyError()) == "KeyError"
    where = 'in user code:\n\n    File "/home/me/m.py", line 1, in call\n'
    traced = where + '    ValueError: Layer \x1b[1m"d"\x1b[0m wants\n  3 axes\n'
    assert one_line(ValueError(traced)) == 'Layer "d" wants 3 axes'
