"""A package that declares padding: what is proved when it is made, and what its server then does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gantline.accelerators.session import Session
from gantline.serve.model import Model
from gantline.serve.tuning import tune

import gantline
from gantline.errors import UsageError, VerificationFailed
from gantline.packages import Package
from gantline.request import Request
from gantline.settings import ServeSettings, resolve
from gantline.tensors import Array


def write(root: Path) -> Path:
    """mean [N]: of what the mask lets through. twice [N,L]: 2 x."""
    onnx = pytest.importorskip("onnx")
    h, tp = onnx.helper, onnx.TensorProto
    one = h.make_tensor("one", tp.INT64, [1], [1])
    graph = h.make_graph(
        [
            h.make_node("Mul", ["x", "mask"], ["kept"]),
            h.make_node("ReduceSum", ["kept", "one"], ["sum"], keepdims=0),
            h.make_node("ReduceSum", ["mask", "one"], ["count"], keepdims=0),
            h.make_node("Div", ["sum", "count"], ["mean"]),
            h.make_node("Add", ["x", "x"], ["twice"]),
        ],
        "g",
        [h.make_tensor_value_info(n, tp.FLOAT, ["N", "L"]) for n in ("x", "mask")],
        [
            h.make_tensor_value_info("mean", tp.FLOAT, ["N"]),
            h.make_tensor_value_info("twice", tp.FLOAT, ["N", "L"]),
        ],
        [one],
    )
    path = root / "masked.onnx"
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), path)
    return path


def make(root: Path, **choices: Any) -> Package:
    sample = {
        "x": np.random.default_rng(0).standard_normal((8, 5)).astype(np.float32), "mask": np.ones((8, 5), np.float32)
    }  # fmt: skip
    return gantline.package(write(root), name="masked", sample=sample, output=root / "masked.pkg", **choices)


def test_what_is_proved_is_declared(tmp_path: Path) -> None:
    made = make(tmp_path, pad={"x": 7.5}, pad_mask="mask", unpad={"twice": "x"})
    batching = Package.open(made.path).manifest.batching
    assert (batching.pad, batching.pad_mask, batching.unpad) == ({"x": 7.5}, "mask", {"twice": "x"})
    assert batching.max_batch_size == 64


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        (
            {"pad": {"x": 0, "mask": 1}, "unpad": {"twice": "x"}},
            "a row that is padded is answered otherwise than alone",
        ),
        ({"pad": {"x": 0}, "pad_mask": "mask"}, r"output 'twice' has shape \[1, \d+\], alone \[1, \d+\]"),
    ],
)
def test_what_would_change_answers_is_refused(tmp_path: Path, choices: dict[str, Any], said: str) -> None:
    with pytest.raises(VerificationFailed, match=said):
        make(tmp_path, **choices)
    assert not (tmp_path / "masked.pkg").exists()


def test_axes_that_change_places_are_found_out(tmp_path: Path) -> None:
    """[N,H,W] -> [N,W,H]: cut by the place of its dimensions, an answer would lose data."""
    onnx = pytest.importorskip("onnx")
    h, tp = onnx.helper, onnx.TensorProto
    graph = h.make_graph(
        [h.make_node("Transpose", ["x"], ["y"], perm=[0, 2, 1])],
        "g",
        [h.make_tensor_value_info("x", tp.FLOAT, ["N", "H", "W"])],
        [h.make_tensor_value_info("y", tp.FLOAT, ["N", "W", "H"])],
    )
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), tmp_path / "t.onnx")
    with pytest.raises(VerificationFailed, match=r"output 'y' has shape \[1, 6, 6\], alone \[1, 9, 6\]"):
        gantline.package(
            tmp_path / "t.onnx", name="t", pad={"x": 0}, unpad={"y": "x"}, output=tmp_path / "t.pkg",
            sample={"x": np.ones((4, 3, 3), np.float32)},
        )  # fmt: skip


@pytest.mark.parametrize("fill", [float("inf"), float("nan")])
def test_a_fill_that_no_document_can_hold(tmp_path: Path, fill: float) -> None:
    with pytest.raises(UsageError, match="expected a finite number"):
        make(tmp_path, pad={"x": fill})


def test_rows_that_depend_on_each_other_are_not_stacked_on_demand(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    h, tp = onnx.helper, onnx.TensorProto
    zero = h.make_tensor("zero", tp.INT64, [], [0])
    graph = h.make_graph(
        [h.make_node("CumSum", ["x", "zero"], ["y"])],
        "g",
        [h.make_tensor_value_info("x", tp.FLOAT, ["N", 2])],
        [h.make_tensor_value_info("y", tp.FLOAT, ["N", 2])],
        [zero],
    )
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), tmp_path / "c.onnx")
    with pytest.raises(UsageError, match="max_batch_size 8: rows depend on each other"):
        gantline.package(tmp_path / "c.onnx", name="c", max_batch_size=8, output=tmp_path / "c.pkg")
    made = gantline.package(tmp_path / "c.onnx", name="c", max_batch_size=0, output=tmp_path / "c.pkg")
    assert made.manifest.batching.max_batch_size == 0


def test_a_mask_without_anything_to_pad(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--pad-mask and --unpad say more about --pad"):
        make(tmp_path, pad_mask="mask")


def test_requests_of_many_lengths_share_batches_and_are_answered_as_alone(tmp_path: Path) -> None:
    """Within 1e-6 of what an unpadded run answers, in far fewer runs."""
    package = make(tmp_path, pad={"x": 1e6}, pad_mask="mask", unpad={"twice": "x"})
    dice = np.random.default_rng(1)
    inputs = [dice.standard_normal((1, n)).astype(np.float32) for n in dice.integers(1, 40, 200)]

    async def run() -> tuple[list[list[Array]], int]:
        session = Session.open(package)
        resolved = resolve(ServeSettings, {}, {})
        tuning = tune(session, 64, resolved.model("masked").settings, resolved.settings, None)
        found: list[Any] = [None] * len(inputs)
        with ThreadPoolExecutor(1) as pool:
            model = Model(session, "masked", "1", pool, tuning)
            for i, x in enumerate(inputs):

                def deliver(_: Any, outputs: list[Array] | None, error: Exception | None, i: int = i) -> None:
                    found[i] = outputs if error is None else error

                model.submit(Request({"x": x}, "masked", "1"), None, Open(), deliver)  # type: ignore[arg-type]
            await model.dispatch.drain()
        return found, model.statistics.execution_count

    found, runs = asyncio.run(run())
    session = Session.open(package)
    for x, got in zip(inputs, found, strict=True):
        want: Sequence[Array] = session.run({"x": x, "mask": np.ones_like(x)})
        assert [a.shape for a in got] == [a.shape for a in want]
        assert all(np.allclose(a, b, rtol=1e-6, atol=1e-6) for a, b in zip(got, want, strict=True))
    assert runs <= 12, "six sizes of length, and what does not fit into one batch"


class Open:
    """A client that stays."""

    closed = False
