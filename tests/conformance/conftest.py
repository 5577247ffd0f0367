"""A Triton-style repository of real ONNX models, served by `gantline serve`, for public clients to talk to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import gantline
from gantline.tensors import DATATYPES, Array, numpy_dtype

Start = Callable[..., Any]


class Repository:
    """NAME/VERSION/model.onnx under a root."""

    def __init__(self, root: Path) -> None:
        import onnx

        self.root = root
        self.h = onnx.helper
        self.t = onnx.TensorProto

    def add(
        self, name: str, nodes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any],
        initializers: Sequence[Any] = (), version: int = 1, config: str = "",
    ) -> Path:  # fmt: skip
        import onnx

        folder = self.root / name / str(version)
        folder.mkdir(parents=True)
        graph = self.h.make_graph(list(nodes), name, list(inputs), list(outputs), list(initializers))
        opsets = [self.h.make_opsetid("", 17), self.h.make_opsetid("ai.onnx.ml", 1)]
        onnx.save(self.h.make_model(graph, opset_imports=opsets, ir_version=8), folder / "model.onnx")
        if config:
            (folder.parent / "config.pbtxt").write_text(config)
        return folder.parent

    def tensor(self, name: str, datatype: str, shape: Sequence[Any]) -> Any:
        return self.h.make_tensor_value_info(name, DATATYPES[datatype].onnx, shape)

    def same(self, name: str, datatype: str, shape: Sequence[Any]) -> None:
        """y = x."""
        node = self.h.make_node("Identity", ["x"], ["y"])
        self.add(name, [node], [self.tensor("x", datatype, shape)], [self.tensor("y", datatype, shape)])


@pytest.fixture(scope="session")
def triton_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models, by name:

    same_TYPE [N,M] and scalar_TYPE []: y = x; many: fourteen inputs, one for each datatype, and as many outputs;
    defaults: y = x + b, b may be left out; maps, sequence; scores: three classes with labels, batched;
    versioned: version V adds V; fixed: [2,3] without batching.
    """
    r = Repository(tmp_path_factory.mktemp("repository"))
    for datatype in DATATYPES:
        r.same(f"same_{datatype}", datatype, ["N", "M"])
        r.same(f"scalar_{datatype}", datatype, [])
    names = [d for d in DATATYPES if d != "BF16"]  # onnxruntime cannot have text in and BF16 out at once
    r.add(
        "many", [r.h.make_node("Identity", [f"in_{d}"], [f"out_{d}"]) for d in names],
        [r.tensor(f"in_{d}", d, ["N"]) for d in names], [r.tensor(f"out_{d}", d, ["N"]) for d in names],
    )  # fmt: skip
    x, y = r.tensor("x", "FP32", ["N"]), r.tensor("y", "FP32", ["N"])
    five = r.h.make_tensor("b", r.t.FLOAT, [1], [5.0])
    add = r.h.make_node("Add", ["x", "b"], ["y"])
    r.add("defaults", [add], [x, r.tensor("b", "FP32", [1])], [y], [five])
    for version in (1, 2, 10):
        by = r.h.make_tensor("b", r.t.FLOAT, [1], [float(version)])
        r.add("versioned", [add], [x], [y], [by], version, "version_policy { all {} }")
    kind = r.h.make_sequence_type_proto(r.h.make_map_type_proto(r.t.STRING, r.h.make_tensor_type_proto(r.t.FLOAT, [])))
    zipped = r.h.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_strings=["a", "b"])
    r.add("maps", [zipped], [r.tensor("x", "FP32", ["N", 2])], [r.h.make_value_info("y", kind)])
    pair = r.h.make_node("SequenceConstruct", ["x", "x"], ["y"])
    r.add("sequence", [pair], [x], [r.h.make_tensor_sequence_value_info("y", r.t.FLOAT, None)])
    _scores(r)
    node = r.h.make_node("Neg", ["x"], ["y"])
    r.add("fixed", [node], [r.tensor("x", "FP32", [2, 3])], [r.tensor("y", "FP32", [2, 3])])
    return r.root


def _scores(r: Repository) -> None:
    config = """
    name: "scores" platform: "onnxruntime_onnx" max_batch_size: 16
    input [ { name: "x" data_type: TYPE_FP32 dims: [ 3 ] } ]
    output [ { name: "y" data_type: TYPE_FP32 dims: [ 3 ] label_filename: "labels.txt" } ]
    """
    node = r.h.make_node("Identity", ["x"], ["y"])
    shape = ["N", 3]
    folder = r.add("scores", [node], [r.tensor("x", "FP32", shape)], [r.tensor("y", "FP32", shape)], config=config)
    (folder / "labels.txt").write_text("cat\ndog\nbird\n")


@pytest.fixture(scope="session")
def triton_address(serving: Start, triton_repository: Path) -> Iterator[str]:
    """host:port, as tritonclient wants it."""
    with serving(triton_repository) as url:
        yield url.removeprefix("http://")


@pytest.fixture
def own_address(serving: Start, triton_repository: Path) -> Iterator[str]:
    """A server for one test, which may load and unload."""
    with serving(triton_repository / "versioned", triton_repository / "fixed") as url:
        yield url.removeprefix("http://")


HELD = """
import time
from pathlib import Path

INPUTS = {"x": ("BYTES", [1])}
OUTPUTS = {"y": ("BYTES", [1])}

def infer(inputs):
    if text := inputs["x"][0].decode():  # warming up: none
        folder = Path(text)
        (folder / "running").touch()
        while not (folder / "go").exists():
            time.sleep(0.005)
    return {"y": inputs["x"]}
"""


class Held:
    """A run of the model `held` that takes until it is let go, however fast or slow the machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.input = np.array([str(folder).encode()], np.object_)

    @property
    def running(self) -> bool:
        return (self._folder / "running").exists()

    def let_go(self) -> None:
        (self._folder / "go").touch()


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    one = Held(tmp_path)
    yield one
    one.let_go()  # whoever has left: its run goes on


@pytest.fixture(scope="session")
def held_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """held: BYTES [1], a directory: waits for a file there named `go`, and makes one named `running`."""
    root = tmp_path_factory.mktemp("held")
    (root / "score.py").write_text(HELD)
    return gantline.package(script=root / "score.py", name="held", env="current", output=root / "held.pkg").path


# front -> the flags that choose it
GRPC_FRONTS: dict[str, tuple[str, ...]] = {"grpcio": (), "h2": ("--front", "h2")}


@pytest.fixture(scope="session")
def grpc_addresses(starting: Start, triton_repository: Path, held_package: Path) -> Iterator[Callable[[str], str]]:
    """A server for each front that is asked for."""
    flags = ("--allow-shared-memory", "--max-body-bytes", "2GiB")
    with ExitStack() as stack:

        @cache
        def address(front: str) -> str:
            ready = stack.enter_context(starting(triton_repository, held_package, *flags, *GRPC_FRONTS[front]))
            return str(ready["grpc"])

        yield address


@pytest.fixture(scope="module", params=GRPC_FRONTS)
def grpc_address(request: pytest.FixtureRequest, grpc_addresses: Callable[[str], str]) -> str:
    """host:port of gRPC, on each front."""
    return grpc_addresses(request.param)


@pytest.fixture(params=GRPC_FRONTS)
def own_grpc_address(request: pytest.FixtureRequest, starting: Start, triton_repository: Path) -> Iterator[str]:
    """A server for one test, which may load and unload."""
    models = triton_repository / "versioned", triton_repository / "fixed"
    with starting(*models, *GRPC_FRONTS[request.param]) as ready:
        yield ready["grpc"]


def values_of(datatype: str, shape: tuple[int, ...]) -> Array:
    """Values of a datatype that show what goes wrong: extremes, NaN and infinities, text of all kinds."""
    if datatype == "BYTES":
        some: list[Any] = [b"", b"a", "Tromsø 東京".encode(), b"x" * 300, b"nul\0nul", b'"quoted"\n']
    elif datatype == "BOOL":
        some = [True, False, False, True, True]
    elif datatype.startswith(("INT", "UINT")):
        limits = np.iinfo(DATATYPES[datatype].numpy)
        some = [limits.min, limits.max, 0, 1, limits.max - 1]
    else:
        info: Any = ml_dtypes.finfo(numpy_dtype(datatype))  # type: ignore[no-untyped-call]
        some = [0.0, -0.0, 1.5, float("nan"), float("inf"), -float("inf"), float(info.max), float(info.tiny)]
    count = int(np.prod(shape))
    flat = (some * (count // len(some) + 1))[:count]
    out = np.empty(count, numpy_dtype(datatype))
    out[:] = flat
    return out.reshape(shape)


@pytest.fixture(scope="session")
def values() -> Callable[[str, tuple[int, ...]], Array]:
    return values_of


@pytest.fixture(scope="session")
def equal() -> Callable[[Array, Array], bool]:
    """Same datatype, shape and every bit of every value (a NaN may be another NaN)."""

    def compare(got: Array, want: Array) -> bool:
        if got.dtype != want.dtype or got.shape != want.shape:
            return False
        if want.dtype == object or want.dtype.kind in "biu":
            return bool(got.tolist() == want.tolist())
        a, b = got.astype(np.float64), want.astype(np.float64)
        return bool(np.array_equal(a, b, equal_nan=True) and np.array_equal(np.signbit(a), np.signbit(b)))

    return compare
