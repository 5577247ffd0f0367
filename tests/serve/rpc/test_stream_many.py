"""Streams of a script that yields: any number of answers to a request, the final mark, errors, and who leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from gantline.serve.rpc.gate import SERVICE
from gantline.serve.rpc.statuses import Code

import gantline
from gantline.pb import message
from gantline.tensors import Array

if TYPE_CHECKING:
    from tests.serve.rpc.conftest import Rpc

STREAM = f"/{SERVICE}/ModelStreamInfer"
SCRIPT = """
import numpy as np

INPUTS = {"n": ("INT64", [1])}
OUTPUTS = {"i": ("INT64", [1])}

def infer(inputs):
    n = int(inputs["n"][0])
    for i in range(abs(n)):
        yield {"i": np.array([i])}
    if n < 0:
        raise ValueError("secret")
"""
Asked = Callable[..., Any]


@pytest.fixture(scope="module")
def counting(own_rpc: Callable[..., Rpc], zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Rpc:
    root = tmp_path_factory.mktemp("count")
    (root / "score.py").write_text(SCRIPT)
    package = gantline.package(script=root / "score.py", name="count", env="current", output=root / "count.pkg")
    return own_rpc(package.path, zoo / "double.onnx")


def count(asked: Asked, n: int, id: str, empty_final: bool = False) -> Any:
    request = asked("count", np.array([n]), id, "n")
    if empty_final:
        request.parameters["triton_enable_empty_final_response"].bool_param = True
    return request


def read(answer: bytes | None) -> tuple[str, int | None, bool, str]:
    """id, the number in it, whether it is marked final, and the error."""
    assert answer is not None
    found = message("inference.ModelStreamInferResponse").FromString(answer)
    raw = found.infer_response.raw_output_contents
    number = int(np.frombuffer(raw[0][:8], np.int64)[0]) if raw else None
    final = found.infer_response.parameters["triton_final_response"].bool_param
    return found.infer_response.id, number, final, found.error_message


def test_any_number_of_answers(counting: Rpc, asked: Asked, row: Array) -> None:
    talk = counting.open(STREAM)
    for request in (count(asked, 3, "a"), count(asked, 0, "b"), count(asked, 2, "c", True), count(asked, 0, "d", True)):
        talk.put(request)
    talk.put(asked("double", row, "e"))
    talk.half_close()
    found: dict[str, list[tuple[int | None, bool]]] = {}
    for id, number, final, error in map(read, talk.rest()):
        assert not error
        found.setdefault(id, []).append((number, final))
    assert len(found.pop("e")) == 1
    assert found == {
        "a": [(0, False), (1, False), (2, False)], "c": [(0, False), (1, False), (None, True)], "d": [(None, True)],
    }  # fmt: skip
    assert talk.status == (0, "")


def test_a_script_that_fails_on_its_way(counting: Rpc, asked: Asked) -> None:
    talk = counting.open(STREAM)
    talk.put(count(asked, -2, "a"))
    assert [read(talk.next())[:3] for _ in range(2)] == [("a", 0, False), ("a", 1, False)]
    id, number, final, error = read(talk.next())
    assert (id, number, final) == ("a", None, True) and error and "secret" not in error
    talk.put(count(asked, 1, "b"))
    assert read(talk.next())[:2] == ("b", 0), "the stream stays open"
    talk.half_close()
    assert talk.rest() == []
    strict = counting.open(STREAM, triton_grpc_error="true")
    strict.put(count(asked, -1, "a"))
    assert [read(a)[1] for a in strict.rest()] == [0]
    assert strict.status is not None and strict.status[0] == Code.INTERNAL


def test_the_calls_deadline_ends_the_call(counting: Rpc, asked: Asked) -> None:
    talk = counting.open(STREAM, perf_counter_ns())
    talk.put(count(asked, 2, "a"))
    talk.put(count(asked, 2, "b"))
    assert talk.rest() == []
    assert talk.status is not None and talk.status[0] == Code.DEADLINE_EXCEEDED


def test_who_leaves_stops_the_script(counting: Rpc, asked: Asked) -> None:
    talk = counting.open(STREAM)
    talk.put(count(asked, 1_000_000_000, "a"))
    assert read(talk.next())[1] == 0
    (stream,) = counting.server.on_loop(lambda: list(counting.service.streams._open))
    talk.leave()
    counting.server.until(lambda: not stream._many)
    statistics = counting.server.stack.repository.find("count").statistics
    counting.server.until(lambda: statistics.cancelled == 1)


def test_one_answer_is_not_for_such_a_model(counting: Rpc, asked: Asked) -> None:
    code, details = counting.refused(f"/{SERVICE}/ModelInfer", count(asked, 1, "a"))
    assert code == Code.UNIMPLEMENTED and "count" in details
    before = counting.server.stack.core.budget.held
    large = count(asked, 1, "a")
    large.parameters["long"].string_param = "x" * 100_000
    talk = counting.open(STREAM)
    talk.put(large)
    talk.half_close()
    assert [read(a)[1] for a in talk.rest()] == [0]
    counting.server.until(lambda: counting.server.stack.core.budget.held == before)


def test_a_stream_that_is_about_to_begin_is_work(counting: Rpc, asked: Asked) -> None:
    """Its model is not let go between the look-up and the first step."""
    talk = counting.open(STREAM)

    async def both() -> bool:
        going = asyncio.ensure_future(counting.server.stack.loader.retire("count"))
        talk.receiver.message(count(asked, 2, "a").SerializeToString())
        return await going

    assert asyncio.run_coroutine_threadsafe(both(), counting.server.loop).result(60) is False
    talk.half_close()
    assert [read(answer)[1] for answer in talk.rest()] == [0, 1]
    assert counting.server.stack.repository.find("count").at_rest
