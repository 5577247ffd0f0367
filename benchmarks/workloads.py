"""The four workloads of the comparison with other servers: a model, one row, and that row in every wire's words.

Models are made on the spot and are the same each time; every server gets the same ONNX file.
"""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
from gantline.accelerators.session import Session
from onnx import TensorProto, helper, numpy_helper

import gantline
from gantline.packages import Package
from gantline.request import Request
from gantline.wire import v2, v2_grpc

JSON = {"Content-Type": "application/json"}
BYTES = {"Content-Type": "application/octet-stream"}
LIGHT_RESNET50 = Path(onnx.__file__).parent / "backend/test/data/light/light_resnet50.onnx"


@dataclass(frozen=True, slots=True)
class Body:
    """What a client posts: the bytes, their headers, and what to call it."""

    data: bytes
    headers: dict[str, str]
    wire: str


@dataclass(frozen=True)
class Workload:
    """`stacks`: rows of several requests may run as one batch; `binary`: where a server can, it is sent bytes.

    `unbatched`: the same model in a package that forbids batches, for (c) only.
    """

    key: str
    title: str
    package: Path
    row: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
    expected: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
    stacks: bool
    binary: bool
    unbatched: Path | None

    @cached_property
    def model(self) -> Path:
        return Package.open(self.package).model_path

    @property
    def name(self) -> str:
        return self.package.stem

    @property
    def shape(self) -> str:
        return ",".join(map(str, self.row.shape))

    def v2(self, binary: bool | None = None) -> Body:
        """The row as V2 asks for it; binary None: as the workload says."""
        if not (self.binary if binary is None else binary):
            return Body(v2.encode_request(self._request(), binary=False)[0], JSON, "V2 JSON")
        data, head = v2.encode_request(self._request(binary_output=True))
        return Body(data, {**BYTES, "Inference-Header-Content-Length": str(head)}, "V2 binary")

    def grpc(self) -> bytes:
        request = self._request()
        request.model = self.name
        return v2_grpc.encode_request(request)

    def rows(self, key: str) -> Body:
        """{key: rows}: what servers without V2 take."""
        return Body(json.dumps({key: self.row.tolist()}).encode(), JSON, "JSON")

    def base64(self, key: str) -> Body:
        """{key: base64 of the row's bytes}: what servers that take only JSON are told to do with images."""
        return Body(json.dumps({key: b64encode(self.row.tobytes()).decode()}).encode(), JSON, "JSON, base64")

    def raw(self) -> Body:
        return Body(self.row.tobytes(), BYTES, "raw bytes")

    def _request(self, binary_output: bool = False) -> Request:
        return Request({"X": self.row}, binary_output=binary_output)


def answers(body: bytes, expected: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> bool:
    """Whether an answer, in whatever wire, holds what the model computes: somewhere in its JSON, or at its end."""
    wanted = expected.ravel()
    try:
        found = np.array(_numbers(json.loads(body)), np.float64)
    except ValueError:
        found = np.frombuffer(body[-wanted.nbytes :] if len(body) >= wanted.nbytes else b"", np.float32)
    if found.size < wanted.size:
        return False
    windows = np.lib.stride_tricks.sliding_window_view(found, wanted.size)
    return bool(np.isclose(windows, wanted, rtol=1e-3, atol=1e-5).all(axis=1).any())


def make(key: str, folder: Path) -> Workload:
    """One of a, b, c, d, packaged under `folder`, which is made."""
    folder.mkdir(parents=True)
    title, name, binary = {
        "a": ("iris logistic regression, 1 row", "iris", False),
        "b": ("MLP 784-512-512-10, 1 row", "mlp", False),
        "c": ("memory-bound MLP 1024-2048-2048-1024-10, 1 row, binary", "wide", True),
        "d": ("ResNet-50, 1 image, binary", "resnet50", True),
    }[key]
    output, unbatched = folder / f"{name}.pkg", folder / "unbatched" / f"{name}.pkg"
    random = np.random.default_rng(7)
    if key == "a":
        from iris_model import ROW, make_package

        make_package(folder)
        row = np.array([ROW], np.float32)
    elif key == "d":
        row = random.random((1, 3, 224, 224), np.float32)
        source = folder / f"{name}.onnx"
        onnx.save(resnet50(), source)
        gantline.package(source, name=name, sample={"X": row}, output=output)
    else:
        sizes = (784, 512, 512, 10) if key == "b" else (1024, 2048, 2048, 1024, 10)
        # pixels: 0 to 255, over 255
        row = (random.integers(0, 256, (1, sizes[0])) / 255).astype(np.float32)
        sample = {"X": np.concatenate([row, row[:, ::-1]])}
        source = folder / f"{name}.onnx"
        onnx.save(mlp(sizes), source)
        gantline.package(source, name=name, sample=sample, output=output)
        if key == "c":
            unbatched.parent.mkdir()
            gantline.package(source, name=name, sample=sample, output=unbatched, max_batch_size=1)
    session = Session.open(Package.open(output))
    try:
        outputs = session.run({"X": row})
    finally:
        session.close()
    return Workload(key, title, output, row, outputs[-1], key != "d", binary, unbatched if key == "c" else None)


def mlp(sizes: tuple[int, ...]) -> onnx.ModelProto:
    """Dense layers with Relu between them and Softmax at the end, He-initialised from a fixed seed."""
    random = np.random.default_rng(11)
    nodes, weights, last = [], [], "X"
    for i, (n, m) in enumerate(pairwise(sizes)):
        w = (random.standard_normal((n, m)) * np.sqrt(2 / n)).astype(np.float32)
        weights += [numpy_helper.from_array(w, f"w{i}"), numpy_helper.from_array(np.zeros(m, np.float32), f"b{i}")]
        nodes.append(helper.make_node("Gemm", [last, f"w{i}", f"b{i}"], [f"h{i}"]))
        last = "Y" if i == len(sizes) - 2 else f"a{i}"
        nodes.append(helper.make_node("Softmax" if last == "Y" else "Relu", [f"h{i}"], [last]))
    x = helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n", sizes[0]])
    y = helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["n", sizes[-1]])
    graph = helper.make_graph(nodes, "mlp", [x], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def resnet50() -> onnx.ModelProto:
    """The topology in the onnx package's light test data: constant weights, and one image in a run."""
    model = onnx.load(LIGHT_RESNET50)
    graph = model.graph
    # weights that are inputs, too, could be overridden by callers: no constant of them could be folded
    ((first, last),) = [(graph.input[0].name, graph.output[0].name)]
    del graph.input[1:]
    graph.input[0].name, graph.output[0].name = "X", "Y"
    for node in graph.node:
        node.input[:] = ["X" if n == first else n for n in node.input]
        node.output[:] = ["Y" if n == last else n for n in node.output]
    used = {n for node in graph.node for n in node.input}
    kept = [w for w in graph.initializer if w.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    model.ir_version = 4  # from here on initializers need not be inputs
    return model


def _numbers(tree: object) -> list[float]:
    """All numbers of a JSON document, in their order."""
    if isinstance(tree, bool | str) or tree is None:
        return []
    if isinstance(tree, int | float):
        return [tree]
    values = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else []
    return [n for v in values for n in _numbers(v)]
