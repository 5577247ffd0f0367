"""Canonical ONNX: one spelling for one program, and the same answers; held to onnx's own backend tests."""

from __future__ import annotations

import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from gantline.builders.canonical import canonical_model, canonicalise, found_in, read_model
from onnx import TensorProto, helper, numpy_helper

from gantline.errors import BadArtefact
from gantline.tensors import Array

DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"


def session(model: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def doors(one: ort.InferenceSession) -> list[tuple[str, str, list[Any]]]:
    return [(v.name, v.type, v.shape) for v in (*one.get_inputs(), *one.get_outputs())]


def flat(values: Any) -> list[Array]:
    if isinstance(values, list | tuple):
        return [a for v in values for a in flat(v)]
    if isinstance(values, dict):
        return [a for key in sorted(values) for a in flat(values[key])]
    return [np.asarray(values)]


def same(a: Any, b: Any) -> bool:
    one, two = flat(a), flat(b)
    pairs = zip(one, two, strict=True)
    return all(np.array_equal(x, y, equal_nan=x.dtype.kind in "fc") for x, y in pairs)


def canonical_bytes(given: bytes) -> bytes:
    model = onnx.ModelProto.FromString(given)
    canonical_model(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def node_cases() -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its reference implementations overflow on purpose
        from onnx.backend.test.case.node import collect_testcases

        return list(collect_testcases(None))


@pytest.mark.slow
def test_the_node_cases_answer_the_same() -> None:
    """A third of onnx's node cases, always the same: every operator family, If, Loop, Scan, functions, sequences."""
    cases = random.Random(7).sample(node_cases(), 600)
    ran, different, changed = 0, [], []
    for case in cases:
        data = case.model.SerializeToString()
        try:
            before = session(data)
        except Exception:  # onnxruntime lags behind onnx's newest operators
            continue
        made = canonical_bytes(data)
        after = session(made)
        if doors(before) != doors(after) or canonical_bytes(made) != made:
            changed.append(case.name)
        feed = dict(zip((i.name for i in before.get_inputs()), case.data_sets[0][0], strict=False))
        try:
            want = before.run(None, feed)
        except Exception:
            continue
        ran += 1
        if not same(want, after.run(None, feed)):
            different.append(case.name)
    assert (changed, different) == ([], [])
    assert ran > 350


def read_inputs(folder: Path, names: list[str]) -> dict[str, Array]:
    out = {}
    for at, name in enumerate(names):
        tensor = onnx.TensorProto.FromString((folder / f"input_{at}.pb").read_bytes())
        out[name] = numpy_helper.to_array(tensor)
    return out


def test_old_files_keep_working(tmp_path: Path) -> None:
    """ir_version 3 from PyTorch's first exporter, where every weight is an input too."""
    ran = 0
    for path in sorted((DATA / "pytorch-operator").glob("*/model.onnx")):
        original = onnx.load(path)
        assert original.ir_version < 4
        out = tmp_path / f"{path.parent.name}.onnx"
        canonicalise(path, out)
        try:
            before = session(path.read_bytes())
        except Exception:  # opset 6 and before: not everything is still there
            session_after_fails(out)
            continue
        after = session(out.read_bytes())
        feed = read_inputs(path.parent / "test_data_set_0", [i.name for i in before.get_inputs()])
        assert same(before.run(None, feed), after.run(None, feed)), path.parent.name
        ran += 1
    assert ran > 10


def session_after_fails(path: Path) -> None:
    with pytest.raises(Exception, match=r"ONNXRuntimeError"):
        session(path.read_bytes())


def test_weights_of_old_files_are_inputs_no_more(tmp_path: Path) -> None:
    path = DATA / "light" / "light_squeezenet.onnx"
    canonicalise(path, tmp_path / "out.onnx")
    before, after = onnx.load(path), onnx.load(tmp_path / "out.onnx")
    assert len(before.graph.input) > 1
    assert [i.name for i in after.graph.input] == ["data_0"]
    assert [o.name for o in after.graph.output] == [o.name for o in before.graph.output]


def scrambled(seed: int) -> onnx.ModelProto:
    """One program as two exporters might write it: names, order of nodes and weights, doc strings all differ."""
    r = random.Random(seed)
    tag = f"{r.random():.6f}"
    weight = numpy_helper.from_array(np.arange(4, dtype=np.float32).reshape(2, 2), f"w{tag}")
    bias = numpy_helper.from_array(np.ones(2, np.float32), f"b{tag}")
    unused = numpy_helper.from_array(np.ones(3, np.float32), f"u{tag}")
    nodes = [
        helper.make_node("MatMul", ["X", weight.name], [f"m{tag}"], name=f"n1{tag}", doc_string=f"/home/{tag}.py"),
        helper.make_node("Sigmoid", ["X"], [f"s{tag}"], name=f"n2{tag}"),
        helper.make_node("Add", [f"m{tag}", bias.name], [f"a{tag}"], name=f"n3{tag}"),
        helper.make_node("Mul", [f"a{tag}", f"s{tag}"], ["Y"], name=f"n4{tag}"),
        helper.make_node("Relu", ["X"], [f"dead{tag}"]),
    ]
    first = nodes[:2]
    r.shuffle(first)
    weights = [weight, bias, unused]
    r.shuffle(weights)
    shape = helper.make_tensor_value_info
    graph = helper.make_graph(
        [*first, *nodes[2:]], f"g{tag}", [shape("X", 1, [None, 2])], [shape("Y", 1, [None, 2])], weights
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets[:: r.choice((1, -1))], producer_name=tag, ir_version=8)
    entry = model.metadata_props.add()
    entry.key, entry.value = "source", f"/home/{tag}"
    return model


def test_two_spellings_become_one() -> None:
    made = {canonical_bytes(scrambled(seed).SerializeToString()) for seed in range(6)}
    assert len(made) == 1
    text = made.pop()
    assert b"home" not in text and b"dead" not in text
    model = onnx.ModelProto.FromString(text)
    assert [n.op_type for n in model.graph.node] == ["MatMul", "Add", "Sigmoid", "Mul"]
    assert [t.name for t in model.graph.initializer] == ["w0", "w1"]
    assert not model.producer_name and not model.metadata_props


def test_a_changed_weight_shows() -> None:
    other = scrambled(0)
    target = next(t for t in other.graph.initializer if len(t.dims) == 2)
    changed = numpy_helper.to_array(target).copy()
    changed[0, 0] = np.nextafter(changed[0, 0], np.float32(1))
    target.CopyFrom(numpy_helper.from_array(changed, target.name))
    assert canonical_bytes(other.SerializeToString()) != canonical_bytes(scrambled(0).SerializeToString())


def test_names_that_are_taken_are_left_alone() -> None:
    node = helper.make_node("Add", ["t0", "w0"], ["hidden"])
    last = helper.make_node("Neg", ["hidden"], ["n0"])
    weight = numpy_helper.from_array(np.ones(2, np.float32), "w0")
    shape = helper.make_tensor_value_info
    graph = helper.make_graph([node, last], "g", [shape("t0", 1, [2])], [shape("n0", 1, [2])], [weight])
    data = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    made = session(canonical_bytes(data))
    assert made.run(None, {"t0": np.array([1, 2], np.float32)})[0].tolist() == [-2.0, -3.0]


def test_external_data_comes_in_or_stays_in_one_file(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    shape = helper.make_tensor_value_info
    node = helper.make_node("MatMul", ["X", "W"], ["Y"])
    graph = helper.make_graph(
        [node], "g", [shape("X", 1, [None, 64])], [shape("Y", 1, [None, 64])], [numpy_helper.from_array(weights, "W")]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    source = tmp_path / "in.onnx"
    onnx.save(model, str(source), save_as_external_data=True, location="in.bin", size_threshold=0)
    assert source.stat().st_size < 1000
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    assert canonicalise(source, one / "m.onnx") == [one / "m.onnx"]
    assert canonicalise(source, two / "m.onnx", inline_limit=1000) == [two / "m.onnx", two / "m.onnx.data"]
    again = canonicalise(source, two / "m.onnx", inline_limit=1000)
    assert (two / "m.onnx.data").stat().st_size == weights.nbytes and again[1].exists()
    feed = {"X": np.eye(64, dtype=np.float32)}
    options = ort.SessionOptions()
    for path in (one / "m.onnx", two / "m.onnx"):
        ran = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]).run(None, feed)
        assert np.array_equal(ran[0], weights)


def test_missing_external_data_is_named(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.ones(4, np.float32), "W")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    entry = weight.external_data.add()
    entry.key, entry.value = "location", "gone.bin"
    node = helper.make_node("Add", ["X", "W"], ["Y"])
    shape = helper.make_tensor_value_info
    graph = helper.make_graph([node], "g", [shape("X", 1, [4])], [shape("Y", 1, [4])], [weight])
    path = tmp_path / "m.onnx"
    path.write_bytes(helper.make_model(graph, ir_version=8).SerializeToString())
    with pytest.raises(BadArtefact, match=r"m\.onnx: its external data cannot be read.*gone\.bin"):
        read_model(path)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "an empty file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "a PNG image"),
        (b"PK\x03\x04" + bytes(20), "a zip archive"),
        (b"\x80\x04\x95" + bytes(20), "a pickle"),
        (b"import numpy as np\n", "text ('import numpy'...)"),
        (bytes(range(128, 200)), "72 bytes that do not decode"),
    ],
)
def test_what_is_no_model_is_said(tmp_path: Path, content: bytes, found: str) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    assert found in found_in(path)
    with pytest.raises(BadArtefact) as caught:
        read_model(path)
    assert str(path) in caught.value.message and "expected an ONNX model" in caught.value.message
    assert "\n" not in caught.value.message


def test_every_truncation_of_a_model_is_refused_or_loads(tmp_path: Path) -> None:
    """Protobuf has no end mark: a cut may leave a shorter message that parses; never anything but these two."""
    data = scrambled(1).SerializeToString()
    path = tmp_path / "cut.onnx"
    refused = 0
    for size in range(0, len(data), 7):
        path.write_bytes(data[:size])
        try:
            read_model(path)
        except BadArtefact:
            refused += 1
    assert refused > len(data) // 7 // 2
