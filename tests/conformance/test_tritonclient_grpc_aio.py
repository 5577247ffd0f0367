"""The public tritonclient.grpc.aio, unmodified, against a real server: the same, from one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gantline.tensors import DATATYPES, Array

if TYPE_CHECKING:
    from tests.conformance.conftest import Held

aio = pytest.importorskip("tritonclient.grpc.aio")
InferInput, Wanted = aio.InferInput, aio.InferRequestedOutput
X = np.array([1.5, -2.0], np.float32)


def tensor(name: str, array: Array, datatype: str = "FP32") -> Any:
    return InferInput(name, list(array.shape), datatype).set_data_from_numpy(array)


def using(address: str, work: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
    """Run `work` with a client of the server."""

    async def main() -> None:
        async with aio.InferenceServerClient(address) as client:
            await work(client)

    asyncio.run(main())


def test_every_datatype(grpc_address: str, values: Any, equal: Any) -> None:
    async def work(client: Any) -> None:
        for datatype in DATATYPES:
            for shape in ((2, 4), (0, 3), ()):
                array = values(datatype, shape)
                model = f"same_{datatype}" if shape else f"scalar_{datatype}"
                result = await client.infer(model, [tensor("x", array, datatype)])
                assert equal(result.as_numpy("y"), array), (datatype, shape)

    using(grpc_address, work)


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compression(grpc_address: str, algorithm: str) -> None:
    x = np.random.default_rng(0).integers(0, 9, (200, 50)).astype(np.float32)

    async def work(client: Any) -> None:
        result = await client.infer("same_FP32", [tensor("x", x)], compression_algorithm=algorithm)
        np.testing.assert_array_equal(result.as_numpy("y"), x)

    using(grpc_address, work)


def test_versions_id_classes_and_defaults(grpc_address: str) -> None:
    async def work(client: Any) -> None:
        result = await client.infer("versioned", [tensor("x", X)], model_version="2", request_id="7")
        assert result.as_numpy("y").tolist() == (X + 2).tolist() and result.get_response().id == "7"
        x = np.array([[0.1, 0.2, 0.7]], np.float32)
        result = await client.infer("scores", [tensor("x", x)], outputs=[Wanted("y", class_count=1)])
        assert result.as_numpy("y")[0][0].split(b":")[1:] == [b"2", b"bird"]
        assert (await client.infer("defaults", [tensor("x", X)])).as_numpy("y").tolist() == [6.5, 3.0]

    using(grpc_address, work)


def test_many_at_once(grpc_address: str) -> None:
    async def work(client: Any) -> None:
        arrays = [np.full((i % 4 + 1, 3), i, np.float32) for i in range(200)]
        results = await asyncio.gather(*(client.infer("same_FP32", [tensor("x", a)]) for a in arrays))
        assert all((r.as_numpy("y") == a).all() for r, a in zip(results, arrays, strict=True))

    using(grpc_address, work)


def test_a_stream(grpc_address: str) -> None:
    async def requests() -> AsyncIterator[dict[str, Any]]:
        for i in range(50):
            model = "nope" if i == 20 else "same_FP32"
            array = np.full((1, 3), i, np.float32)
            yield {"model_name": model, "inputs": [tensor("x", array)], "request_id": str(i)}

    async def work(client: Any) -> None:
        found = [answer async for answer in client.stream_infer(requests())]
        assert len(found) == 50
        for i, (result, error) in enumerate(found):
            if i == 20:
                assert "unknown model: 'nope'" in error.message()
            else:
                assert error is None and result.get_response().id == str(i) and result.as_numpy("y")[0, 0] == i

    using(grpc_address, work)


def test_who_cancels_harms_nobody(grpc_address: str, held: Held) -> None:
    async def work(client: Any) -> None:
        long = tensor("x", held.input, "BYTES")
        tasks = [asyncio.ensure_future(client.infer("held", [long])) for _ in range(6)]
        async with asyncio.timeout(20):
            while not held.running:  # noqa: ASYNC110  # another process's file
                await asyncio.sleep(0.005)
        assert all(task.cancel() for task in tasks[::2])  # one runs, some wait, some may be on their way
        await asyncio.wait(tasks[::2])
        held.let_go()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [r.as_numpy("y").tolist() for r in results[1::2]] == [held.input.tolist()] * 3  # type: ignore[union-attr]
        assert all(isinstance(r, asyncio.CancelledError | aio.InferenceServerException) for r in results[::2])

    using(grpc_address, work)


def test_health_and_descriptions(grpc_address: str) -> None:
    async def work(client: Any) -> None:
        assert await client.is_server_live() and await client.is_server_ready()
        assert await client.is_model_ready("versioned") and not await client.is_model_ready("nope")
        assert (await client.get_server_metadata()).name == "gantline"
        assert (await client.get_model_metadata("versioned")).versions == ["1", "2", "10"]
        assert (await client.get_model_config("scores")).config.max_batch_size == 16
        (model,) = (await client.get_inference_statistics("scores")).model_stats
        assert model.name == "scores"

    using(grpc_address, work)


def test_wrong_requests(grpc_address: str) -> None:
    async def work(client: Any) -> None:
        for model, array, datatype, status in (
            ("nope", X, "FP32", "NOT_FOUND"),
            ("versioned", X.astype(np.int32), "INT32", "INVALID_ARGUMENT"),
        ):
            with pytest.raises(aio.InferenceServerException) as raised:
                await client.infer(model, [tensor("x", array, datatype)])
            assert raised.value.status() == f"StatusCode.{status}"

    using(grpc_address, work)
