"""The torch engine: both program formats, every datatype it carries, and files that are no programs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from gantline.accelerators.engine import EngineOptions
from gantline.accelerators.session import Session

from gantline.errors import BadArtefact, EngineFailed, UsageError
from gantline.manifest import Manifest
from gantline.packages import Package
from gantline.signature import Signature, TensorSpec
from gantline.tensors import Array

torch = pytest.importorskip("torch")
engine = pytest.importorskip("gantline.accelerators.torch")
pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Two(torch.nn.Module):  # type: ignore[misc, name-defined]  # torch is found at run time
    """Two inputs, three outputs, one of them by keyword only."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 3)
        self.words = torch.nn.Embedding(10, 3)

    def forward(self, x: Any, *, ids: Any) -> Any:
        y = self.linear(x) + self.words(ids).sum(1)
        return {"score": y, "more": (y.argmax(1), y > 0)}


SIGNATURE = Signature(
    (TensorSpec("x", "FP32", (-1, 4)), TensorSpec("ids", "INT64", (-1, 5))),
    (TensorSpec("score", "FP32", (-1, 3)), TensorSpec("more_0", "INT64", (-1,)), TensorSpec("more_1", "BOOL", (-1, 3))),
)


def package(path: Path, signature: Signature | None = SIGNATURE) -> Package:
    return Package(path.parent, Manifest("m", "torch", path.name, signature=signature), None)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    torch.manual_seed(0)
    module, path = Two().eval(), tmp_path_factory.mktemp("pt2") / "model.pt2"
    batch = torch.export.Dim("batch")
    with engine.quiet():
        program = torch.export.export(
            module,
            (torch.zeros(2, 4),),
            {"ids": torch.zeros(2, 5, dtype=torch.long)},
            dynamic_shapes={"x": {0: batch}, "ids": {0: batch}},
        )
        torch.export.save(program, path)
    return module, path


def inputs(rows: int) -> dict[str, Array]:
    random = np.random.default_rng(rows)
    return {"x": random.standard_normal((rows, 4)).astype(np.float32), "ids": random.integers(0, 10, (rows, 5))}


def test_an_exported_program_answers_as_its_module(exported: tuple[Any, Path]) -> None:
    module, path = exported
    session = Session.open(package(path))
    for rows in (1, 2, 7):
        feed = inputs(rows)
        with torch.no_grad():
            want = module(torch.from_numpy(feed["x"]), ids=torch.from_numpy(feed["ids"]))
        score, best, over = session.run(feed)
        np.testing.assert_allclose(score, want["score"].numpy(), rtol=1e-6)
        assert np.array_equal(best, want["more"][0].numpy())
        assert np.array_equal(over, want["more"][1].numpy())
        assert [a.shape for a in session.run(feed, ["more_0"])] == [(rows,)]
    session.close()


def test_torchscript(tmp_path: Path) -> None:
    class Sum(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any, y: Any) -> Any:
            return x + y, x * y

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated, and people have such files
        torch.jit.trace(Sum(), (torch.ones(2), torch.ones(2))).save(str(tmp_path / "m.pt"))
    x, y, first, second = (TensorSpec(name, "FP32", (-1,)) for name in ("x", "y", "output_0", "output_1"))
    signature = Signature((x, y), (first, second))
    session = Session.open(package(tmp_path / "m.pt", signature))
    two, three = np.full(3, 2, np.float32), np.full(3, 3, np.float32)
    got = session.run({"x": two, "y": three}, ["output_1", "output_0"])
    assert [a.tolist() for a in got] == [[6.0] * 3, [5.0] * 3]


@pytest.mark.parametrize(
    "dtype",
    ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64"],
)
def test_datatypes_survive(dtype: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype)
    back = engine.from_tensor(engine.to_tensor(array))
    assert back.dtype == array.dtype
    assert np.array_equal(back, array)


def test_bfloat16_scalars_and_byte_order_survive() -> None:
    array = np.array([[1.5, -2.0]], ml_dtypes.bfloat16)
    tensor = engine.to_tensor(array)
    assert tensor.dtype == torch.bfloat16
    back = engine.from_tensor(tensor + 1)
    assert back.dtype == ml_dtypes.bfloat16
    assert back.astype(np.float32).tolist() == [[2.5, -1.0]]
    assert engine.to_tensor(np.array(3.0)).shape == ()
    assert engine.to_tensor(np.array([1.0], ">f4")).tolist() == [1.0]


def test_a_request_that_may_not_be_written_is_copied() -> None:
    array = np.frombuffer(np.ones(3, np.float32).tobytes(), np.float32)
    tensor = engine.to_tensor(array)
    tensor += 1
    assert array.tolist() == [1.0] * 3


def test_a_failure_is_one_line(exported: tuple[Any, Path]) -> None:
    session = Session.open(package(exported[1]))
    feed = inputs(2)
    feed["ids"][1, 1] = 10_000
    with pytest.raises(EngineFailed) as e:
        session.run(feed)
    assert "\n" not in e.value.message
    assert "range" in e.value.message
    assert session.run(inputs(2))[0].shape == (2, 3)


def test_threads_are_the_options(exported: tuple[Any, Path]) -> None:
    session = Session.open(package(exported[1]), EngineOptions(threads=2))
    session.run(inputs(1))
    assert torch.get_num_threads() == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_that_is_not_there(exported: tuple[Any, Path]) -> None:
    with pytest.raises(UsageError, match="no CUDA"):
        Session.open(package(exported[1]), EngineOptions(device="cuda"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda(exported: tuple[Any, Path]) -> None:
    on_gpu = Session.open(package(exported[1]), EngineOptions(device="cuda")).run(inputs(4))
    np.testing.assert_allclose(on_gpu[0], Session.open(package(exported[1])).run(inputs(4))[0], rtol=1e-4)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "it is neither, or damaged"),
        (b"PK\x03\x04 not really", "it is neither, or damaged"),
        (b"\x80\x02}q\x00.", "it is neither, or damaged"),
        (None, "no such file"),
    ],
)
def test_files_that_are_no_programs(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "m.pt2"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadArtefact, match=f"m.pt2: .*{says}"):
        Session.open(package(path))


def test_a_state_dict_is_no_program(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "m.pt")
    with pytest.raises(BadArtefact, match=r"found torch\.save, which is not a program"):
        Session.open(package(tmp_path / "m.pt"))


def test_truncated_and_damaged_programs(tmp_path: Path, exported: tuple[Any, Path]) -> None:
    whole = exported[1].read_bytes()
    for at in (100, len(whole) // 2, len(whole) - 30):
        (tmp_path / "cut.pt2").write_bytes(whole[:at])
        with pytest.raises(BadArtefact, match=r"cut\.pt2: ") as e:
            Session.open(package(tmp_path / "cut.pt2"))
        assert "\n" not in e.value.message
    at = whole.index(b'"graph_module"') + 40
    (tmp_path / "bent.pt2").write_bytes(whole[:at] + b"\x00\x01\x02" + whole[at + 3 :])
    with pytest.raises(BadArtefact, match=r"bent\.pt2: "):
        Session.open(package(tmp_path / "bent.pt2"))


def test_a_signature_is_needed(exported: tuple[Any, Path]) -> None:
    with pytest.raises(BadArtefact, match="needs a signature"):
        Session.open(package(exported[1], None))


def test_names_of_outputs() -> None:
    t = torch.ones(1)

    def names(value: Any) -> list[str]:
        return [name for name, _ in engine.leaves(value)]

    assert names(t) == ["output"]
    assert names((t, [t, None], t)) == ["output_0", "output_1_0", "output_2"]
    assert names({"a": t, "b": (t, {"c": t})}) == ["a", "b_0", "b_1_c"]
    assert names((t, 3)) == ["output_0", "output_1"]
    with pytest.raises(TypeError, match="str"):
        names({"a": "text"})
