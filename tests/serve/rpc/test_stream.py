"""ModelStreamInfer: answers in order, errors that do not end the stream, pressure from both sides, and the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import numpy as np
from gantline.serve.rpc.statuses import Code
from gantline.serve.rpc.stream import MAX_OPEN

from gantline.pb import message
from gantline.tensors import Array
from gantline.wire.v2_grpc import SLOW

from ..held_engine import hold

if TYPE_CHECKING:
    from tests.serve.rpc.conftest import Rpc

STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
Asked = Callable[..., Any]


def read(answer: bytes | None) -> Any:
    assert answer is not None
    found = message("inference.ModelStreamInferResponse").FromString(answer)
    assert found.infer_response.parameters["triton_final_response"].bool_param
    return found


def ids(answers: list[bytes]) -> list[str]:
    return [read(a).infer_response.id for a in answers]


def test_answers_and_errors_on_one_stream(rpc: Rpc, asked: Asked, row: Array) -> None:
    talk = rpc.open(STREAM)
    talk.put(asked("double", row, "1"))
    first = read(talk.next())
    assert first.infer_response.id == "1" and not first.error_message
    assert list(first.infer_response.raw_output_contents) == [(row * 2).tobytes()]
    talk.put(asked("nope", row, "2"))
    talk.put(b"\xff")
    talk.put(asked("double", row[:, :2], "3"))
    talk.put(asked("lookup", np.array([9]), "4"))
    talk.put(asked("double", row, "5"))
    answers = [read(talk.next()) for _ in range(5)]
    assert [a.infer_response.id for a in answers] == ["2", "", "3", "4", "5"]
    assert [bool(a.error_message) for a in answers] == [True, True, True, True, False]
    assert answers[0].error_message == "Request for unknown model: 'nope' is not found"
    assert "not an inference.ModelInferRequest" in answers[1].error_message
    assert talk.silent and talk.status is None
    talk.half_close()
    assert talk.rest() == [] and talk.status == (0, "")


def test_answers_come_in_the_order_of_requests(rpc: Rpc, asked: Asked, row: Array) -> None:
    """Slow ones, ones that are read on a thread, quick ones and wrong ones."""
    talk = rpc.open(STREAM)
    typed = asked("double", np.zeros((1, 3), np.float32), "1")
    del typed.raw_input_contents[:]
    typed.inputs[0].shape[:] = [SLOW, 3]
    typed.inputs[0].contents.fp32_contents.extend([0.0] * 3 * SLOW)
    for request in (
        asked("toil", np.array([100]), "0"), typed, asked("double", row, "2"), asked("nope", row, "3"),
    ):  # fmt: skip
        talk.put(request)
    talk.half_close()
    assert ids(talk.rest()) == ["0", "1", "2", "3"] and talk.status == (0, "")


def test_a_stream_that_wants_a_real_status(rpc: Rpc, asked: Asked, row: Array) -> None:
    talk = rpc.open(STREAM, triton_grpc_error="true")
    talk.put(asked("double", row, "1"))
    talk.put(asked("nope", row, "2"))
    talk.put(asked("double", row, "3"))
    assert ids(talk.rest()) == ["1"]
    assert talk.status == (Code.NOT_FOUND, "Request for unknown model: 'nope' is not found")
    talk.put(asked("double", row, "4"))
    assert talk.silent


def test_a_requests_time_ends_the_request_and_the_calls_time_the_call(rpc: Rpc, asked: Asked, row: Array) -> None:
    """Client and server keep the call's deadline both; whoever is first, the client is told by a status."""
    impatient = asked("double", row, "1")
    impatient.parameters["timeout"].int64_param = 1  # microseconds
    talk = rpc.open(STREAM, perf_counter_ns() + 10**12)
    talk.put(impatient)
    talk.put(asked("double", row, "2"))
    late, fine = read(talk.next()), read(talk.next())
    assert late.infer_response.id == "1" and "deadline" in late.error_message
    assert fine.infer_response.id == "2" and not fine.error_message
    talk = rpc.open(STREAM, perf_counter_ns())
    talk.put(asked("double", row, "1"))
    assert talk.rest() == []
    assert talk.status is not None and talk.status[0] == Code.DEADLINE_EXCEEDED


def test_who_does_not_read_is_not_read_from(rpc: Rpc, asked: Asked, row: Array) -> None:
    talk = rpc.open(STREAM)
    talk.holding = True
    for i in range(MAX_OPEN + 1):  # one answer is on its way when the client stops to read
        assert not talk.paused, i
        talk.put(asked("double", row, str(i)))
    rpc.server.until(lambda: talk.paused)
    talk.take()
    rpc.server.until(lambda: not talk.paused)
    talk.half_close()
    assert ids(talk.rest()) == [str(i) for i in range(MAX_OPEN + 1)]


def test_who_leaves_takes_its_requests_along(own_rpc: Callable[..., Rpc], zoo: Path, asked: Asked) -> None:
    rpc = own_rpc(zoo / "toil.onnx")
    held = hold(rpc.server, "toil")
    busy, gone = rpc.open(STREAM), rpc.open(STREAM)
    busy.put(asked("toil", np.array([1]), "1"))
    assert held.began.wait(20)
    gone.put(asked("toil", np.array([1_000_000]), "2"))
    gone.leave()
    held.go_on.set()
    busy.put(asked("toil", np.array([1]), "3"))
    busy.half_close()
    assert ids(busy.rest()) == ["1", "3"] and gone.silent and gone.status is None
    assert rpc.server.on_loop(lambda: len(rpc.service.streams._open)) == 0
    gone.put(asked("toil", np.array([1]), "4"))
    assert gone.silent


def test_the_end_of_the_server(own_rpc: Callable[..., Rpc], zoo: Path, asked: Asked, row: Array) -> None:
    """What was accepted is answered; then the stream ends, and a new one does not begin."""
    rpc = own_rpc(zoo / "toil.onnx")
    held = hold(rpc.server, "toil")
    busy, idle = rpc.open(STREAM), rpc.open(STREAM)
    busy.put(asked("toil", np.array([1]), "1"))
    rpc.server.on_loop(rpc.service.stop)
    ended = (Code.UNAVAILABLE, "the server is stopping; connect again")
    assert idle.rest() == [] and idle.status == ended and busy.silent
    held.go_on.set()
    assert ids(busy.rest()) == ["1"] and busy.status == ended
    late = rpc.open(STREAM)
    assert late.rest() == [] and late.status == ended
