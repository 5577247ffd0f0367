"""The onnx engine: its short way into onnxruntime does what the public one does; failures are told in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from gantline.accelerators.engine import EngineOptions, load_engine
from gantline.accelerators.onnx import SMALL_MODEL, Onnx, _threads, open_model
from onnx import TensorProto, helper

from gantline.errors import BadArtefact, EngineFailed
from gantline.manifest import Manifest
from gantline.packages import Package
from gantline.signature import Signature, TensorSpec
from gantline.tensors import DATATYPES, Array, numpy_dtype

info = helper.make_tensor_value_info


def save(path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], opset: int = 18) -> Path:
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """sum = a + b, product = a * b on [N, 3]."""
    nodes = [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Mul", ["a", "b"], ["product"])]
    inputs = [info("a", 1, ["N", 3]), info("b", 1, ["N", 3])]
    return save(tmp_path / "two.onnx", nodes, inputs, [info("sum", 1, ["N", 3]), info("product", 1, ["N", 3])])


@pytest.mark.parametrize("rows", [0, 1, 7, 300])
@pytest.mark.parametrize("outputs", [["sum"], ["product", "sum"], ["sum", "product"]])
def test_the_short_way_is_the_public_way(two: Path, rows: int, outputs: list[str]) -> None:
    random = np.random.default_rng(rows)
    feed = {n: random.standard_normal((rows, 3)).astype(np.float32) for n in ("a", "b")}
    public = ort.InferenceSession(str(two), providers=["CPUExecutionProvider"]).run(outputs, feed)
    for want, got in zip(public, open_model(two).run(feed, outputs), strict=True):
        assert want.dtype == got.dtype and np.array_equal(want, got)


@pytest.mark.parametrize("layout", ["reversed", "transposed", "readonly", "sliced", "foreign order"])
def test_arrays_of_any_memory_layout(two: Path, layout: str) -> None:
    plain = np.arange(12, dtype=np.float32).reshape(4, 3)
    given: Array = {
        "reversed": plain[::-1],
        "transposed": np.asfortranarray(plain),
        "readonly": np.frombuffer(plain.tobytes(), np.float32).reshape(4, 3),
        "sliced": np.repeat(plain, 2, axis=1)[:, ::2],
        "foreign order": plain.copy(),
    }[layout]
    got = open_model(two).run({"a": given, "b": plain}, ["sum"])[0]
    assert np.array_equal(got, given + plain)


@pytest.mark.parametrize("datatype", [d for d in DATATYPES if d not in ("BYTES", "BF16")])
def test_every_number_passes_through_as_it_is(tmp_path: Path, datatype: str) -> None:
    kind, dtype = DATATYPES[datatype].onnx, numpy_dtype(datatype)
    path = save(tmp_path / "i.onnx", [helper.make_node("Identity", ["x"], ["y"])], [info("x", kind, [None])],
                [info("y", kind, [None])])  # fmt: skip
    engine = open_model(path)
    assert engine.signature == Signature((TensorSpec("x", datatype, (-1,)),), (TensorSpec("y", datatype, (-1,)),))
    if dtype.kind == "f":
        values = np.array([0, -1.5, np.nan, np.inf, -np.inf], dtype)
    elif dtype.kind == "b":
        values = np.array([True, False])
    else:
        values = np.array([np.iinfo(dtype).min, 0, np.iinfo(dtype).max], dtype)
    got = engine.run({"x": values}, ["y"])[0]
    assert got.dtype == dtype and np.array_equal(got, values, equal_nan=dtype.kind == "f")


def test_scalars_keep_no_dimension(tmp_path: Path) -> None:
    path = save(tmp_path / "s.onnx", [helper.make_node("Neg", ["x"], ["y"])], [info("x", 1, [])], [info("y", 1, [])])
    engine = open_model(path)
    assert engine.signature.inputs[0].shape == ()
    got = engine.run({"x": np.array(2.0, np.float32)}, ["y"])[0]
    assert got.shape == () and float(got) == -2.0


def test_a_failing_model_is_one_line(tmp_path: Path) -> None:
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
    inputs = [info("x", 1, [None]), info("shape", TensorProto.INT64, [1])]
    engine = open_model(save(tmp_path / "r.onnx", nodes, inputs, [info("y", 1, None)]))
    with pytest.raises(EngineFailed) as caught:
        engine.run({"x": np.ones(3, np.float32), "shape": np.array([7])}, ["y"])
    assert "\n" not in caught.value.message and len(caught.value.message) <= 400
    assert engine.run({"x": np.ones(3, np.float32), "shape": np.array([3])}, ["y"])[0].tolist() == [1, 1, 1]


@pytest.mark.parametrize("feed", [{}, {"x": np.ones(3)}, {"x": np.ones((2, 2), np.float32)}])
def test_inputs_that_nobody_checked_are_errors_not_crashes(tmp_path: Path, feed: dict[str, Array]) -> None:
    path = save(tmp_path / "n.onnx", [helper.make_node("Neg", ["x"], ["y"])], [info("x", 1, [3])], [info("y", 1, [3])])
    with pytest.raises(EngineFailed):
        open_model(path).run(feed, ["y"])


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n" + bytes(64), b"no model\n", bytes(range(256)) * 8])
def test_what_onnxruntime_cannot_load(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(BadArtefact, match=r"m\.onnx: onnxruntime .* cannot load it") as caught:
        open_model(path)
    assert "\n" not in caught.value.message
    with pytest.raises(BadArtefact, match="no such file"):
        open_model(tmp_path / "gone.onnx")


def test_threads_by_size(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"x")
    assert _threads(tmp_path / "m.onnx") == 1
    (tmp_path / "m.onnx.data").write_bytes(bytes(SMALL_MODEL))
    assert _threads(tmp_path / "m.onnx") == (os.cpu_count() or 1)
    assert _threads(tmp_path / "m.onnx", 3) == 3


def test_by_the_package(two: Path) -> None:
    engine = load_engine(Package.bare(two, "two"), EngineOptions())
    assert isinstance(engine, Onnx) and [t.name for t in engine.signature.outputs] == ["sum", "product"]
    engine.close()
    wrong = Signature((TensorSpec("a", "FP32", (-1, 3)),), (TensorSpec("sum", "FP32", (-1, 3)),))
    manifest = Manifest(name="two", engine="onnx", model="two.onnx", signature=wrong)
    with pytest.raises(BadArtefact, match="the manifest's signature has"):
        load_engine(Package(two.parent, manifest, None), EngineOptions())


def test_types_that_v2_cannot_carry(tmp_path: Path) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    kind = TensorProto.COMPLEX64
    path = save(tmp_path / "c.onnx", [node], [info("x", kind, [1])], [info("y", kind, [1])])
    with pytest.raises(BadArtefact, match=r"c\.onnx"):
        open_model(path)
    assert onnx.load(path).graph.node[0].op_type == "Identity"


def test_nothing_is_counted_for_others(two: Path, tmp_path: Path) -> None:
    """onnxruntime keeps an id and a queue of what it will send in the user's cache, unless told not to."""
    code = "import sys; import gantline.accelerators.onnx as o; o.ort.InferenceSession(sys.argv[1])"
    own = {k: v for k, v in os.environ.items() if k not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")}
    subprocess.run([sys.executable, "-c", code, str(two)], env=own | {"HOME": str(tmp_path / "home")}, check=True)
    assert [p for p in (tmp_path / "home").rglob("*") if p.is_file()] == []
