"""One loaded version: what it checks before a request may wait, and what it stacks with what."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gantline.accelerators.null import Null
from gantline.accelerators.session import Session
from gantline.serve.model import Model
from gantline.serve.policy import QueuePolicy
from gantline.serve.ticket import Ticket
from gantline.serve.tuning import Tuning

from gantline.errors import BadRequest, Unavailable
from gantline.packages import Package
from gantline.request import Request, RequestedOutput
from gantline.signature import Signature, TensorSpec

NOBODY: Any = None


def spec(name: str, *shape: int, datatype: str = "FP32", optional: bool = False) -> TensorSpec:
    return TensorSpec(name, datatype, shape, optional)


def at(zoo: Path, signature: Signature, test: Callable[[Model], None], rows: int = 64, queue: int = 100) -> None:
    async def run() -> None:
        session = Session(Package.bare(zoo / "double.onnx", "m"), Null(signature))
        with ThreadPoolExecutor(1) as pool:
            test(Model(session, "m", "1", pool, Tuning(QueuePolicy(rows, queue))))

    asyncio.run(run())


def submit(model: Model, outputs: list[str] | None = None, parameters: Any = None, **inputs: Any) -> Ticket:
    arrays = {n: a if isinstance(a, np.ndarray) else np.array(a, np.float32) for n, a in inputs.items()}
    request = Request(arrays, model="m", parameters=parameters)
    request.outputs = None if outputs is None else [RequestedOutput(n) for n in outputs]
    return model.submit(request, NOBODY, NOBODY, lambda *_: None)


TWO = Signature((spec("a", -1, 2), spec("b", -1)), (spec("y", -1, 1), spec("z", -1)))


def test_rows_and_outputs(zoo: Path) -> None:
    def test(model: Model) -> None:
        ticket = submit(model, a=[[1, 2], [3, 4]], b=[1, 2])
        assert (ticket.rows, ticket.outputs) == (2, ("y", "z"))
        assert submit(model, ["z"], a=[[1, 2]], b=[1]).outputs == ("z",)
        assert repr(model) == "<Model m:1 <Batcher 3/100 rows wait, max_rows=64>>"

    at(zoo, TWO, test)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"a": [[1, 2]]}, "model 'm': input 'b' is missing; it takes 'a', 'b', got 'a'"),
        ({}, "model 'm': input 'a' is missing; it takes 'a', 'b', got none"),
        ({"a": [[1, 2]], "b": [1], "c": [1]}, "model 'm': unexpected input 'c'; it takes 'a', 'b'"),
        ({"a": [[1, 2, 3]], "b": [1]}, "model 'm': input 'a' has shape [1,3], expected [-1,2]"),
        ({"a": [1, 2], "b": [1]}, "model 'm': input 'a' has shape [2], expected [-1,2]"),
        ({"a": [[1, 2]], "b": 1}, "model 'm': input 'b' has shape [], expected [-1]"),
        ({"a": [[1, 2]], "b": np.array([1])}, "model 'm': input 'b' has datatype INT64, expected FP32"),
        ({"a": [[1, 2]], "b": [1, 2]}, "model 'm': input 'b' has 2 rows, another input has 1"),
    ],
)
def test_inputs_that_do_not_fit(zoo: Path, inputs: dict[str, Any], said: str) -> None:
    def test(model: Model) -> None:
        with pytest.raises(BadRequest) as raised:
            submit(model, **inputs)
        assert raised.value.message == said and len(model.batcher) == 0

    at(zoo, TWO, test)


def test_outputs_that_are_not_there(zoo: Path) -> None:
    def test(model: Model) -> None:
        with pytest.raises(BadRequest, match="unexpected output 'q'; it gives 'y', 'z'"):
            submit(model, ["q"], a=[[1, 2]], b=[1])
        with pytest.raises(BadRequest, match="an output is asked for twice"):
            submit(model, ["y", "y"], a=[[1, 2]], b=[1])

    at(zoo, TWO, test)


def test_what_is_stacked_with_what(zoo: Path) -> None:
    free = Signature((spec("a", -1, -1), spec("b", -1, optional=True)), (spec("y", -1, 1), spec("z", -1)))

    def test(model: Model) -> None:
        key = submit(model, a=[[1, 2]]).key
        assert submit(model, a=[[3, 4], [5, 6]]).key == key
        others = [
            submit(model, a=[[1, 2, 3]]).key,
            submit(model, a=[[1, 2]], b=[1]).key,
            submit(model, ["y"], a=[[1, 2]]).key,
            submit(model, ["z", "y"], a=[[1, 2]]).key,
            submit(model, None, {"p": 1}, a=[[1, 2]]).key,
            submit(model, None, {"p": 2}, a=[[1, 2]]).key,
        ]
        assert key not in others and len(set(others)) == len(others)
        assert submit(model, ["y", "z"], a=[[1, 2]]).key == key

    at(zoo, free, test)


def test_without_batches_a_request_is_one_row(zoo: Path) -> None:
    fixed = Signature((spec("a", 3, 2),), (spec("y", 1),))

    def test(model: Model) -> None:
        assert (model.stacked, model.max_rows, submit(model, a=np.zeros((3, 2), np.float32)).rows) == (False, 0, 1)

    at(zoo, fixed, test)
    at(zoo, TWO, lambda m: None if submit(m, a=np.zeros((3, 2), np.float32), b=[1, 2]).rows == 1 else pytest.fail(), 0)


def test_no_input_at_all(zoo: Path) -> None:
    optional = Signature((spec("a", -1, optional=True),), (spec("y", -1),))

    def test(model: Model) -> None:
        assert submit(model).rows == 1

    at(zoo, optional, test)


def test_a_full_queue_is_unavailable(zoo: Path) -> None:
    def test(model: Model) -> None:
        submit(model, a=[[1, 2]], b=[1])
        with pytest.raises(Unavailable, match="model 'm': 1 rows are waiting already"):
            submit(model, a=[[1, 2]], b=[1])

    at(zoo, TWO, test, queue=1)
