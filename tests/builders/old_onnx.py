"""ONNX files as CNTK and MXNet wrote them in 2018 and 2019, made again by onnx.helper: none of theirs is shipped here.

What is typical of them, from their exporters' sources (CNTK 2.7 `CNTKToONNX.cpp`, MXNet 1.3 to 1.6
`contrib/onnx/mx2onnx`): opset 7 to 9, ir_version 3, every weight also an input, a fixed batch, attributes where later
opsets have inputs, operators that were deprecated since, and names with odd characters.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from gantline.tensors import Array

FLOAT = TensorProto.FLOAT
RANDOM = np.random.default_rng(7)


def weight(*shape: int) -> Array:
    """A weight like a trained one: small."""
    return (RANDOM.standard_normal(shape) / 4).astype(np.float32)


def old_model(
    nodes: list[NodeProto], data: dict[str, list[Any] | None], outputs: dict[str, list[Any] | None],
    weights: dict[str, Array], opset: int = 7, ir: int = 3, producer: str = "CNTK",
) -> ModelProto:  # fmt: skip
    """A model whose weights are listed as inputs, as they had to be before ir_version 4. Shape None: not said."""
    inputs = [helper.make_tensor_value_info(n, FLOAT, shape) for n, shape in data.items()]
    for name, array in weights.items():
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        inputs.append(helper.make_tensor_value_info(name, kind, array.shape))
    graph = helper.make_graph(
        nodes, "graph", inputs, [helper.make_tensor_value_info(n, FLOAT, shape) for n, shape in outputs.items()],
        [numpy_helper.from_array(a, n) for n, a in weights.items()],
    )  # fmt: skip
    return helper.make_model(
        graph, producer_name=producer, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir
    )


def cntk_mnist() -> ModelProto:
    """The layout of the zoo's MNIST: Conv by auto_pad, Plus with a bias of one axis less, weights that are reshaped."""
    w = {
        "Parameter5": weight(8, 1, 5, 5), "Parameter6": weight(8, 1, 1),
        "Parameter193": weight(8, 4, 4, 10), "Parameter194": weight(1, 10),
        "Pooling160_Output_0_reshape0_shape": np.array([1, 128]),
        "Parameter193_reshape1_shape": np.array([128, 10]),
    }  # fmt: skip
    node = helper.make_node
    nodes = [
        node("Reshape", ["Parameter193", "Parameter193_reshape1_shape"], ["Parameter193_reshape1"], "Times212<1>"),
        node(
            "Conv", ["Input3", "Parameter5"], ["Convolution28_Output_0"], "Convolution28", kernel_shape=[5, 5],
            strides=[1, 1], auto_pad="SAME_UPPER", group=1, dilations=[1, 1], doc_string="C:\\work\\train.py",
        ),
        node("Add", ["Convolution28_Output_0", "Parameter6"], ["Plus30_Output_0"], "Plus30"),
        node("Relu", ["Plus30_Output_0"], ["ReLU32_Output_0"], "ReLU32"),
        node(
            "MaxPool", ["ReLU32_Output_0"], ["Pooling66_Output_0"], "Pooling66", kernel_shape=[7, 7], strides=[7, 7],
            pads=[0, 0, 0, 0], auto_pad="NOTSET",
        ),
        node("Reshape", ["Pooling66_Output_0", "Pooling160_Output_0_reshape0_shape"], ["flat"], "Times212_reshape0"),
        node("MatMul", ["flat", "Parameter193_reshape1"], ["Times212_Output_0"], "Times212"),
        node("Add", ["Times212_Output_0", "Parameter194"], ["Plus214_Output_0"], "Plus214"),
    ]  # fmt: skip
    return old_model(nodes, {"Input3": [1, 1, 28, 28]}, {"Plus214_Output_0": [1, 10]}, w, opset=8)


def cntk_rnn() -> ModelProto:
    """A sequence model: free axes by name, an LSTM with its initial state as weights, names with odd characters."""
    w = {
        "W'|1": weight(1, 12, 4), "R'|1": weight(1, 12, 3), "B'|1": weight(1, 24),
        "init h": np.zeros((1, 1, 3), np.float32), "init c": np.zeros((1, 1, 3), np.float32),
    }  # fmt: skip
    node = helper.make_node
    nodes = [
        node(
            "LSTM", ["features (1/2)", "W'|1", "R'|1", "B'|1", "", "init h", "init c"], ["Y:0"], "LSTM<1>",
            hidden_size=3, direction="forward",
        ),
        node("Squeeze", ["Y:0"], ["Y.squeezed"], axes=[1]),
        node("Hardmax", ["Y.squeezed"], ["one hot?"], axis=2),
        node("Identity", ["Y.squeezed"], ["z ± ü"]),
    ]  # fmt: skip
    return old_model(nodes, {"features (1/2)": ["Sequence", 1, 4]}, {"one hot?": None, "z ± ü": None}, w, opset=7)


def mxnet_block(opset: int = 8, spatial: int | None = None, slope: tuple[int, ...] = (6,)) -> ModelProto:
    """A residual block as mx2onnx wrote it. ArcFace has `spatial` 0 and slopes of one axis (onnx/models issues)."""
    w = {
        "conv0_weight": weight(6, 3, 3, 3), "bn0_gamma": 1 + weight(6), "bn0_beta": weight(6),
        "bn0_moving_mean": weight(6), "bn0_moving_var": 1 + np.abs(weight(6)), "relu0_gamma": np.abs(weight(*slope)),
        "fc1_weight": weight(5, 24), "fc1_bias": weight(5), "reshape_attr_tensor42": np.array([0, -1]),
    }  # fmt: skip
    node = helper.make_node
    said: dict[str, Any] = {} if spatial is None else {"spatial": spatial}
    nodes = [
        node(
            "Conv", ["data", "conv0_weight"], ["conv0"], "conv0", kernel_shape=(3, 3), strides=(2, 2),
            pads=(1, 1, 1, 1), group=1, dilations=(1, 1),
        ),
        node(
            "BatchNormalization", ["conv0", "bn0_gamma", "bn0_beta", "bn0_moving_mean", "bn0_moving_var"], ["bn0"],
            "bn0", epsilon=2e-5, momentum=0.9, **said,
        ),
        node("PRelu", ["bn0", "relu0_gamma"], ["relu0"], "relu0"),
        node("Dropout", ["relu0"], ["dropout0"], "dropout0", ratio=0.4),
        node("Reshape", ["dropout0", "reshape_attr_tensor42"], ["flat0"], "flat0"),
        node("Gemm", ["flat0", "fc1_weight", "fc1_bias"], ["fc1"], "fc1", alpha=1.0, beta=1.0, transA=0, transB=1),
        node("Softmax", ["fc1"], ["softmax0"], "softmax0", axis=1),
    ]  # fmt: skip
    return old_model(nodes, {"data": [1, 3, 4, 4]}, {"softmax0": [1, 5]}, w, opset=opset, producer="mxnet")


def one_operator(operator: str, opset: int, shape: list[int], **attributes: Any) -> ModelProto:
    """x -> y by one operator in its form of that opset."""
    extra: dict[str, Array] = attributes.pop("weights", {})
    outputs: list[str] = attributes.pop("outputs", ["y"])
    nodes = [helper.make_node(operator, ["x", *extra], outputs, **attributes)]
    return old_model(nodes, {"x": [1, *shape]}, {"y": None}, extra, opset=opset, producer="mxnet")


# what was an attribute once, or was replaced: operator, opset, shape of x without the batch, attributes
OPERATORS: list[tuple[str, int, list[int], dict[str, Any]]] = [
    ("Upsample", 7, [2, 3, 3], {"scales": [1.0, 1.0, 2.0, 2.0], "mode": "nearest"}),
    ("Upsample", 9, [2, 3, 3], {"mode": "nearest", "weights": {"s": np.array([1, 1, 2, 2], np.float32)}}),
    ("Pad", 7, [2, 3], {"pads": [0, 1, 0, 0, 0, 2], "mode": "constant", "value": 0.5}),
    ("Slice", 7, [4, 5], {"axes": [1, 2], "starts": [1, 0], "ends": [3, -1]}),
    ("Clip", 7, [4], {"min": -0.5, "max": 0.5}),
    ("Dropout", 7, [4], {"ratio": 0.5}),
    ("TopK", 7, [6], {"axis": 1, "k": 3, "outputs": ["y", "i"]}),
    ("Squeeze", 7, [1, 4], {"axes": [1]}),
    ("Unsqueeze", 7, [4], {"axes": [2]}),
    ("Split", 7, [6], {"axis": 1, "split": [2, 4], "outputs": ["y", "rest"]}),
    ("ReduceSum", 7, [3, 4], {"axes": [2], "keepdims": 0}),
    ("Softmax", 7, [3, 4], {"axis": 1}),  # over all that follows the axis, until opset 13
    ("LogSoftmax", 8, [3, 4], {"axis": 2}),
    ("Hardmax", 7, [3, 4], {}),
    ("Flatten", 7, [3, 4], {"axis": 1}),
    ("LRN", 7, [4, 3, 3], {"size": 3, "alpha": 1e-4, "beta": 0.75, "bias": 1.0}),
    ("InstanceNormalization", 8, [2, 3, 3], {"weights": {"g": 1 + weight(2), "b": weight(2)}, "epsilon": 1e-3}),
    ("AveragePool", 7, [2, 5, 5], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    ("ConvTranspose", 7, [2, 3, 3], {"weights": {"w": weight(2, 3, 2, 2)}, "strides": [2, 2], "output_shape": [6, 6]}),
    ("LeakyRelu", 7, [4], {"alpha": 0.25}),
    ("Mean", 8, [4], {}),
    ("Sum", 7, [4], {"weights": {"w": weight(1, 4)}}),
    ("Expand", 8, [1, 4], {"weights": {"s": np.array([1, 3, 4])}}),
    ("DepthToSpace", 7, [4, 2, 2], {"blocksize": 2}),
    ("Scatter", 9, [4], {"weights": {"i": np.array([[2, 0]]), "u": weight(1, 2)}, "axis": 1}),
    ("ImageScaler", 7, [3, 2, 2], {"scale": 0.5, "bias": [0.1, 0.2, 0.3]}),  # experimental, and gone since
    ("ThresholdedRelu", 7, [4], {"alpha": 0.5}),
    ("Crop", 7, [2, 5, 5], {"border": [1, 1, 2, 1]}),  # experimental, and gone since
]
