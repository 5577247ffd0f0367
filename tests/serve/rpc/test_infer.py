"""ModelInfer: answers, errors with the right code, large messages, clients that leave, and what is counted."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from gantline.serve.rpc.statuses import Code

from gantline.tensors import Array
from gantline.wire.v2_grpc import SLOW, decode_reply

from ..held_engine import hold

if TYPE_CHECKING:
    from tests.serve.rpc.conftest import Rpc

INFER = "/inference.GRPCInferenceService/ModelInfer"
Asked = Callable[..., Any]


def statistics(rpc: Rpc, name: str) -> tuple[int, int]:
    found = rpc.server.stack.repository.find(name).statistics
    return found.success_count, found.fail_count


def test_an_answer(rpc: Rpc, asked: Asked, row: Array) -> None:
    before = rpc.server.on_loop(lambda: statistics(rpc, "double"))
    reply = decode_reply(rpc.ask(INFER, asked("double", row, "7")))
    assert (reply.model, reply.version, reply.id, reply.parameters) == ("double", "1", "7", None)
    ((name, array),) = reply.outputs
    assert name == "y" and array.tolist() == (row * 2).tolist()
    assert rpc.server.on_loop(lambda: statistics(rpc, "double")) == (before[0] + 1, before[1])


def test_a_version_and_outputs_that_are_asked_for(rpc: Rpc, asked: Asked, row: Array) -> None:
    request = asked("double", row)
    request.model_version = "1"
    request.outputs.add(name="y").parameters["classification"].int64_param = 1
    ((_, array),) = decode_reply(rpc.ask(INFER, request)).outputs
    assert array.tolist() == [[b"6.000000:2"]]


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"model_name": "nope"}, Code.NOT_FOUND, "Request for unknown model: 'nope' is not found"),
        ({"model_version": "9"}, Code.NOT_FOUND, "'double' version 9 is not found"),
        ({"raw_input_contents": [b"1"]}, Code.INVALID_ARGUMENT, "needs 12 bytes, binary data has 1"),
    ],
)
def test_what_is_refused(rpc: Rpc, asked: Asked, row: Array, change: dict[str, Any], code: Code, says: str) -> None:
    request = asked("double", row)
    for key, value in change.items():
        if isinstance(value, list):
            getattr(request, key)[:] = value
        else:
            setattr(request, key, value)
    found, details = rpc.refused(INFER, request)
    assert found == code and says in details


def test_refusals_are_counted_and_name_what_is_wrong(rpc: Rpc, asked: Asked) -> None:
    before = rpc.server.on_loop(lambda: statistics(rpc, "double"))
    code, details = rpc.refused(INFER, asked("double", np.zeros((1, 4), np.float32)))
    assert (code, details) == (Code.INVALID_ARGUMENT, "model 'double': input 'x' has shape [1,4], expected [-1,3]")
    assert rpc.refused(INFER, b"\xff")[0] == Code.INVALID_ARGUMENT
    assert rpc.server.on_loop(lambda: statistics(rpc, "double")) == (before[0], before[1] + 1)


def test_a_model_that_fails(rpc: Rpc, asked: Asked, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.CRITICAL):
        code, details = rpc.refused(INFER, asked("lookup", np.array([9])))
    assert code == Code.INTERNAL and "out of data bounds" in details and "Traceback" not in details


@pytest.mark.parametrize("typed", [False, True])
def test_a_long_message(rpc: Rpc, asked: Asked, typed: bool) -> None:
    """Typed ones are read on a thread, raw ones where they are."""
    array = np.arange(3 * SLOW, dtype=np.float32).reshape(-1, 3)
    request = asked("double", array)
    if typed:
        del request.raw_input_contents[:]
        request.inputs[0].contents.fp32_contents.extend(array.ravel().tolist())
    ((_, got),) = decode_reply(rpc.ask(INFER, request)).outputs
    assert np.array_equal(got, array * 2)


def test_a_long_message_that_is_wrong(rpc: Rpc, asked: Asked) -> None:
    request = asked("double", np.zeros((1, 3), np.float32), "7")
    request.inputs[0].contents.fp32_contents.extend([0.0] * SLOW)
    code, details = rpc.refused(INFER, request)
    assert code == Code.INVALID_ARGUMENT and "contents must not be given beside raw_input_contents" in details
    assert rpc.refused(INFER, b"\xff" * 2 * SLOW)[0] == Code.INVALID_ARGUMENT


def test_the_pool_is_shut_down(own_rpc: Callable[..., Rpc], zoo: Path, asked: Asked) -> None:
    rpc = own_rpc(zoo / "double.onnx")
    rpc.server.on_loop(rpc.server.stack.close)
    request = asked("double", np.zeros((1, 3), np.float32))
    request.inputs[0].contents.fp32_contents.extend([0.0] * SLOW)
    assert rpc.refused(INFER, request) == (Code.UNAVAILABLE, "the server is stopping; try again elsewhere")


def test_a_full_queue(own_rpc: Callable[..., Rpc], zoo: Path, asked: Asked) -> None:
    rpc = own_rpc(zoo / "toil.onnx", max_queue_rows=1)
    work = asked("toil", np.array([200]))
    talks = rpc.burst(INFER, *[work] * 8)
    for talk in talks:
        talk.rest()
    codes = [talk.status[0] for talk in talks if talk.status]
    assert set(codes) == {Code.OK, Code.RESOURCE_EXHAUSTED} and len(codes) == 8


def test_who_leaves_while_queued_costs_nothing(own_rpc: Callable[..., Rpc], zoo: Path, asked: Asked) -> None:
    rpc = own_rpc(zoo / "toil.onnx")
    held = hold(rpc.server, "toil")
    first, gone, last = rpc.burst(INFER, *(asked("toil", np.array([n])) for n in (1, 1_000_000, 2)))
    gone.leave()
    held.go_on.set()
    assert [len(t.rest()) for t in (first, last)] == [1, 1] and gone.silent and gone.status is None
    assert rpc.server.stack.repository.find("toil").statistics.cancelled == 1


def test_who_leaves_while_its_message_is_read(rpc: Rpc, asked: Asked) -> None:
    request = asked("double", np.zeros((1, 3), np.float32))
    del request.raw_input_contents[:]
    request.inputs[0].shape[:] = [SLOW, 3]
    request.inputs[0].contents.fp32_contents.extend([0.0] * 3 * SLOW)
    before = rpc.server.on_loop(lambda: statistics(rpc, "double"))
    gone = rpc.start(INFER, request)
    gone.leave()
    rpc.ask(INFER, request)
    assert gone.silent and gone.status is None
    assert rpc.server.on_loop(lambda: statistics(rpc, "double"))[0] in (before[0] + 1, before[0] + 2)


def test_the_calls_deadline_goes_along(own_rpc: Callable[..., Rpc], zoo: Path, asked: Asked) -> None:
    """It is in the ticket that the batcher gives out."""
    rpc = own_rpc(zoo / "toil.onnx")
    held = hold(rpc.server, "toil")
    deadline = time.perf_counter_ns() + 10**12
    first, second = rpc.burst(INFER, *[asked("toil", np.array([1]))] * 2, deadline=deadline)
    batcher = rpc.server.stack.repository.find("toil").batcher
    assert rpc.server.on_loop(lambda: [t.request.deadline for t in batcher._main])[-1:] == [deadline]
    held.go_on.set()
    assert len(first.rest()) == len(second.rest()) == 1


def test_a_model_that_was_unloaded(own_rpc: Callable[..., Rpc], zoo: Path, asked: Asked, row: Array) -> None:
    """What was remembered by name is forgotten."""
    rpc = own_rpc(zoo / "double.onnx")
    rpc.ask(INFER, asked("double", row))
    repository = rpc.server.stack.repository
    rpc.server.on_loop(lambda: repository.withdraw("double", "unloaded"))
    assert rpc.refused(INFER, asked("double", row)) == (Code.UNAVAILABLE, "model 'double' is not ready: unloaded")
