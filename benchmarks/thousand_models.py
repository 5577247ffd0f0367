"""The models of the thousand-model figures: small perceptrons, all different, as packages and for Triton."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
from contestants import PEERS, triton_backends
from measuring import Process, free_port
from onnx import TensorProto, helper, numpy_helper

import gantline

SIZES = (64, 256, 256, 8)  # 85 thousand weights, 0.33 MB
ROW = [round(i / 64, 3) for i in range(SIZES[0])]
BODY = json.dumps({"inputs": [{"name": "x", "shape": [1, SIZES[0]], "datatype": "FP32", "data": ROW}]}).encode()


def name_of(i: int) -> str:
    return f"m{i:04}"


def make_models(folder: Path, count: int) -> None:
    """`folder`/onnx/NAME.onnx and `folder`/packages/NAME.pkg; what is there already is kept."""
    for kind in ("onnx", "packages"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(7)
    sample = random.standard_normal((8, SIZES[0])).astype(np.float32)
    for i in range(count):
        package, file = folder / "packages" / f"{name_of(i)}.pkg", folder / "onnx" / f"{name_of(i)}.onnx"
        if not package.exists():
            onnx.save(_perceptron(i), file)
            gantline.package(file, name=name_of(i), sample=sample, output=package)


def _perceptron(seed: int) -> onnx.ModelProto:
    random = np.random.default_rng(seed)
    nodes, weights, last = [], [], "x"
    for i, (wide, high) in enumerate(pairwise(SIZES)):
        values = (random.standard_normal((wide, high)) / np.sqrt(wide)).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"w{i}"))
        end = "y" if i == len(SIZES) - 2 else f"h{i}"
        nodes.append(helper.make_node("MatMul", [last, f"w{i}"], [end if end == "y" else f"a{i}"]))
        if end != "y":
            nodes.append(helper.make_node("Relu", [f"a{i}"], [end]))
        last = end
    graph = helper.make_graph(
        nodes, "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", SIZES[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", SIZES[-1]])],
        weights,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def triton(folder: Path, count: int) -> tuple[Process, str]:
    """Triton in explicit mode over the same ONNX files, on our backend in C++ (peers/triton_onnx_backend.cc)."""
    repository = folder / "triton"
    for i in range(count):
        place = repository / name_of(i) / "1"
        if not place.exists():
            place.mkdir(parents=True)
            shutil.copy(folder / "onnx" / f"{name_of(i)}.onnx", place / "model.onnx")
            (place.parent / "config.pbtxt").write_text(
                f'name: "{name_of(i)}" backend: "onnx" max_batch_size: 64\n'
                f'input [ {{ name: "x" data_type: TYPE_FP32 dims: [ {SIZES[0]} ] }} ]\n'
                f'output [ {{ name: "y" data_type: TYPE_FP32 dims: [ {SIZES[-1]} ] }} ]\n'
                "instance_group [ { count: 1 kind: KIND_CPU } ]\n"
            )
    server, site, backends = triton_backends(folder, "onnx")
    http, grpc, metrics = free_port(), free_port(), free_port()
    command: list[str | Path] = [server / "bin" / "tritonserver", f"--model-repository={repository}"]
    command += [f"--backend-directory={backends}", f"--http-port={http}", f"--grpc-port={grpc}"]
    command += [f"--metrics-port={metrics}", "--http-address=127.0.0.1", "--grpc-address=127.0.0.1"]
    command += ["--model-control-mode=explicit"]
    environment = {"LD_LIBRARY_PATH": str(site / "nvidia_pytriton.libs"), "PYTHONPATH": f"{site}:{PEERS}"}
    return Process(command, **environment), f"http://127.0.0.1:{http}"
