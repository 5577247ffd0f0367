"""Order and names inside subgraphs and local functions."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from gantline.builders.canonical import canonical_model
from onnx import helper, numpy_helper

shape = helper.make_tensor_value_info


def with_if(tag: str) -> onnx.ModelProto:
    """`If` whose branches capture an outer tensor, an outer weight, and each other's names."""
    outer = numpy_helper.from_array(np.full(2, 10, np.float32), f"outer{tag}")
    inner = numpy_helper.from_array(np.full(2, 3, np.float32), f"inner{tag}")
    add = helper.make_node("Add", [f"sum{tag}", f"outer{tag}"], [f"r{tag}"])
    then = helper.make_graph([add], f"then{tag}", [], [shape(f"r{tag}", 1, [2])])
    other = helper.make_graph(
        [helper.make_node("Mul", [f"sum{tag}", f"inner{tag}"], [f"r{tag}"])],
        f"else{tag}", [], [shape(f"r{tag}", 1, [2])], [inner],
    )  # fmt: skip
    nodes = [
        helper.make_node("Add", ["X", "X"], [f"sum{tag}"]),
        helper.make_node("If", ["C"], ["Y"], then_branch=then, else_branch=other),
    ]
    graph = helper.make_graph(nodes, "g", [shape("C", 9, []), shape("X", 1, [2])], [shape("Y", 1, [2])], [outer])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def with_loop(tag: str) -> onnx.ModelProto:
    """A Loop that sums its counter and carries a value through a subgraph nested once more."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", [f"c{tag}"], [f"co{tag}"]),
            helper.make_node("Cast", [f"i{tag}"], [f"f{tag}"], to=1),
            helper.make_node("Add", [f"v{tag}", f"f{tag}"], [f"vo{tag}"]),
        ],
        f"body{tag}",
        [shape(f"i{tag}", 7, []), shape(f"c{tag}", 9, []), shape(f"v{tag}", 1, [])],
        [shape(f"co{tag}", 9, []), shape(f"vo{tag}", 1, [])],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["N", "", "X"], ["Y"], body=body)],
        "g", [shape("N", 7, []), shape("X", 1, [])], [shape("Y", 1, [])],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def with_function(tag: str) -> onnx.ModelProto:
    """A local function whose inner names differ; its attributes are known by name."""
    body = [
        helper.make_node("Mul", [f"a{tag}", f"a{tag}"], [f"sq{tag}"]),
        helper.make_node("Add", [f"sq{tag}", f"b{tag}"], [f"out{tag}"]),
    ]
    opset = [helper.make_opsetid("", 17)]
    function = helper.make_function("local", "SquareAdd", [f"a{tag}", f"b{tag}"], [f"out{tag}"], body, opset)
    node = helper.make_node("SquareAdd", ["X", "X"], ["Y"], domain="local")
    graph = helper.make_graph([node], "g", [shape("X", 1, [2])], [shape("Y", 1, [2])])
    opsets = [*opset, helper.make_opsetid("local", 1)]
    return helper.make_model(graph, functions=[function], opset_imports=opsets, ir_version=9)


CASES = {
    "if": (with_if, {"C": np.array(True), "X": np.array([1, 2], np.float32)}),
    "else": (with_if, {"C": np.array(False), "X": np.array([1, 2], np.float32)}),
    "loop": (with_loop, {"N": np.array(5, np.int64), "X": np.array(1, np.float32)}),
    "function": (with_function, {"X": np.array([2, 3], np.float32)}),
}


@pytest.mark.parametrize("case", CASES)
def test_names_inside_do_not_matter(case: str) -> None:
    make, feed = CASES[case]
    models = [make("a"), make("other_b")]
    want = [ort.InferenceSession(m.SerializeToString()).run(None, feed)[0].tolist() for m in models]
    for model in models:
        canonical_model(model)
    data = [m.SerializeToString(deterministic=True) for m in models]
    assert data[0] == data[1]
    assert want[0] == want[1] == ort.InferenceSession(data[0]).run(None, feed)[0].tolist()


def test_a_subgraph_that_returns_an_outer_weight() -> None:
    weight = numpy_helper.from_array(np.array([7, 8], np.float32), "weight")
    then = helper.make_graph([helper.make_node("Identity", ["weight"], ["r"])], "t", [], [shape("r", 1, [2])])
    other = helper.make_graph([helper.make_node("Neg", ["weight"], ["r"])], "e", [], [shape("r", 1, [2])])
    node = helper.make_node("If", ["C"], ["Y"], then_branch=then, else_branch=other)
    graph = helper.make_graph([node], "g", [shape("C", 9, [])], [shape("Y", 1, [2])], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    canonical_model(model)
    session = ort.InferenceSession(model.SerializeToString())
    assert session.run(None, {"C": np.array(False)})[0].tolist() == [-7.0, -8.0]


def test_types_of_intermediate_tensors_follow_their_names() -> None:
    model = with_if("x")
    model.graph.value_info.append(shape("sumx", 1, [2]))
    model.graph.value_info.append(shape("nowhere", 1, [3]))
    model.graph.value_info[0].doc_string = "made in /home"
    canonical_model(model)
    kept = [v.name for v in model.graph.value_info]
    assert kept == [model.graph.node[0].output[0]]
    assert b"home" not in model.SerializeToString()


def test_a_deep_chain_needs_no_deep_stack() -> None:
    nodes = [helper.make_node("Neg", [f"x{i}"], [f"x{i + 1}"]) for i in range(3000)]
    graph = helper.make_graph(nodes[::1], "g", [shape("x0", 1, [1])], [shape("x3000", 1, [1])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    canonical_model(model)
    assert len(model.graph.node) == 3000
