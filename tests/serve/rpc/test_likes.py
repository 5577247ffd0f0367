"""Infer messages that were seen before: answers and refusals as the first time, and nothing outlives a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from gantline.serve.rpc import likes
from gantline.serve.rpc.statuses import Code

from gantline.tensors import Array
from gantline.wire.v2_grpc import decode_reply

if TYPE_CHECKING:
    from tests.serve.rpc.conftest import Rpc

INFER = "/inference.GRPCInferenceService/ModelInfer"
Asked = Callable[..., Any]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each message, whether it was read by a remembered form."""
    found: list[bool] = []
    before = likes.Likes.read

    def watched(self: likes.Likes, data: bytes) -> Any:
        seen = before(self, data)
        found.append(seen is not None)
        return seen

    monkeypatch.setattr(likes.Likes, "read", watched)
    return found


def answer(rpc: Rpc, request: Any) -> Any:
    ((_, array),) = decode_reply(rpc.ask(INFER, request)).outputs
    return array.tolist()


def test_other_numbers_get_their_own_answers(rpc: Rpc, asked: Asked, row: Array, read: list[bool]) -> None:
    for i in range(5):
        assert answer(rpc, asked("double", row + i)) == ((row + i) * 2).tolist()
    assert read[-4:] == [True] * 4
    two = np.concatenate([row, row + 1])
    for _ in range(2):
        assert answer(rpc, asked("double", two)) == (two * 2).tolist()
    assert read[-1]


def test_outputs_that_are_asked_for(rpc: Rpc, asked: Asked, row: Array, read: list[bool]) -> None:
    for i in range(3):
        request = asked("double", row + i)
        request.outputs.add(name="y").parameters["classification"].int64_param = 1
        assert answer(rpc, request) == [[f"{(row.max() + i) * 2:.6f}:2".encode()]]
    assert read[-2:] == [True, True]


def test_messages_of_one_length_and_two_forms(rpc: Rpc, asked: Asked, row: Array, read: list[bool]) -> None:
    """The first form stays while it is used; the other is answered as well."""
    for i in range(likes._PATIENCE + 3):
        request = asked("double", row + i)
        request.inputs[0].shape[:] = [3, 1]
        code, _ = rpc.refused(INFER, request)
        assert code == Code.INVALID_ARGUMENT
        assert answer(rpc, asked("double", row + i)) == ((row + i) * 2).tolist()
    assert read[-1]


def test_ids_and_parameters_are_read_each_time(rpc: Rpc, asked: Asked, row: Array, read: list[bool]) -> None:
    for i in range(3):
        assert decode_reply(rpc.ask(INFER, asked("double", row, str(i)))).id == str(i)
    assert read == [False] * 3


def test_a_deadline_is_each_calls_own(rpc: Rpc, asked: Asked, row: Array, read: list[bool]) -> None:
    assert answer(rpc, asked("double", row)) == (row * 2).tolist()
    code, details = rpc.refused(INFER, asked("double", row), deadline=1)
    assert code == Code.DEADLINE_EXCEEDED and "double" in details
    assert answer(rpc, asked("double", row)) == (row * 2).tolist()
    assert read[-2:] == [True, True]


def test_a_header_is_each_calls_own(rpc: Rpc, asked: Asked, row: Array, read: list[bool]) -> None:
    assert answer(rpc, asked("double", row)) == (row * 2).tolist()
    code, details = rpc.refused(INFER, asked("double", row), deadline=0, **{"x-gantline-priority": "high"})
    assert code == Code.INVALID_ARGUMENT and "x-gantline-priority" in details
    assert read[-1]


def test_what_was_seen_is_forgotten_with_its_model(rpc: Rpc, asked: Asked, row: Array, read: list[bool]) -> None:
    assert answer(rpc, asked("double", row)) == (row * 2).tolist()
    repository = rpc.server.stack.repository

    def change() -> None:
        for listener in repository.listeners:
            listener()

    rpc.server.on_loop(change)
    assert answer(rpc, asked("double", row)) == (row * 2).tolist()
    assert read[-1] is False


def test_the_memory_is_bounded(rpc: Rpc, asked: Asked, row: Array) -> None:
    for n in range(1, likes._MAX_FORMS + 10):
        rows = np.repeat(row, n, axis=0)
        assert answer(rpc, asked("double", rows)) == (rows * 2).tolist()
    method: Any = rpc.service.methods.unary[INFER.encode()]
    assert 0 < len(method.__self__._likes._forms) <= likes._MAX_FORMS
