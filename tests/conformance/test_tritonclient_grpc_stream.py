"""tritonclient.grpc's streams, unmodified: ModelStreamInfer on each gRPC front."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gantline.tensors import Array

if TYPE_CHECKING:
    from tests.conformance.conftest import Held

triton = pytest.importorskip("tritonclient.grpc")
X = np.array([1.5, -2.0], np.float32)
WAIT_S = 60.0


class Stream:
    """A client with an open stream, and what its callback has been given."""

    def __init__(self, address: str, **options: Any) -> None:
        self.client = triton.InferenceServerClient(address)
        self._answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
        self.client.start_stream(lambda result, error: self._answers.put((result, error)), **options)

    def send(self, model: str, array: Array, id: str, datatype: str = "FP32", **more: Any) -> None:
        sent = triton.InferInput("x", list(array.shape), datatype).set_data_from_numpy(array)
        self.client.async_stream_infer(model, [sent], request_id=id, **more)

    def next(self) -> tuple[Any, Any]:
        return self._answers.get(timeout=WAIT_S)


@contextmanager
def stream(address: str, **options: Any) -> Iterator[Stream]:
    found = Stream(address, **options)
    try:
        yield found
    finally:
        found.client.stop_stream()
        found.client.close()


def test_answers_in_order_and_errors_between_them(grpc_address: str) -> None:
    with stream(grpc_address) as one:
        for i in range(300):
            if i % 50 == 7:
                one.send("nope", X, str(i))
            else:
                one.send("versioned", X + i, str(i), model_version="1")
        for i in range(300):
            result, error = one.next()
            if i % 50 == 7:
                assert result is None and "unknown model: 'nope'" in error.message()
            else:
                response = result.get_response()
                assert error is None and response.id == str(i)
                assert response.parameters["triton_final_response"].bool_param
                assert result.as_numpy("y").tolist() == (X + i + 1).tolist()


def test_an_empty_last_answer_is_not_sent_by_ordinary_models(grpc_address: str) -> None:
    with stream(grpc_address) as one:
        for i in range(2):
            one.send("versioned", X, str(i), enable_empty_final_response=True)
        for i in range(2):
            result, _ = one.next()
            assert result.get_response().id == str(i) and result.as_numpy("y") is not None


def test_a_real_status(grpc_address: str) -> None:
    with stream(grpc_address, headers={"triton_grpc_error": "true"}) as one:
        one.send("versioned", X, "1")
        assert one.next()[1] is None
        one.send("nope", X, "2")
        assert one.next()[1].status() == "StatusCode.NOT_FOUND"


def test_large_messages(grpc_address: str) -> None:
    array = np.random.default_rng(0).standard_normal((1000, 1000)).astype(np.float32)
    with stream(grpc_address, compression_algorithm="gzip") as one:
        for i in range(3):
            one.send("same_FP32", array, str(i))
        for _ in range(3):
            assert (one.next()[0].as_numpy("y") == array).all()


def test_a_time_limit_and_a_stream_that_is_dropped(grpc_address: str, held: Held) -> None:
    with stream(grpc_address, stream_timeout=1.0) as one:
        one.send("held", held.input, "1", "BYTES")
        assert one.next()[1].status() == "StatusCode.DEADLINE_EXCEEDED"
    dropped = Stream(grpc_address)
    dropped.send("held", held.input, "1", "BYTES")
    dropped.client.stop_stream(cancel_requests=True)
    dropped.client.close()
    with stream(grpc_address) as one:
        one.send("versioned", X, "1")
        assert one.next()[1] is None
