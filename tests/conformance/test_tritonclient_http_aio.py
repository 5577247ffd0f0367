"""The public tritonclient.http.aio, unmodified, against a real server: the same, over aiohttp."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from gantline.tensors import DATATYPES, Array

aio = pytest.importorskip("tritonclient.http.aio")
InferInput, Wanted = aio.InferInput, aio.InferRequestedOutput
X = np.array([1.5, -2.0], np.float32)


def tensor(name: str, array: Array, datatype: str = "FP32", binary: bool = True) -> Any:
    return InferInput(name, list(array.shape), datatype).set_data_from_numpy(array, binary_data=binary)


def using(address: str, work: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
    """Run `work` with a client of the server."""

    async def main() -> None:
        async with aio.InferenceServerClient(address) as client:
            await work(client)

    asyncio.run(main())


@pytest.mark.parametrize("binary", [True, False])
def test_every_datatype(triton_address: str, values: Any, equal: Any, binary: bool) -> None:
    async def work(client: Any) -> None:
        for datatype in DATATYPES:
            if datatype == "BF16" and not binary:
                continue  # tritonclient itself refuses BF16 in JSON
            for shape in ((2, 4), (0, 3), ()):
                array = values(datatype, shape)
                model = f"same_{datatype}" if shape else f"scalar_{datatype}"
                wanted = [Wanted("y", binary_data=binary)]
                result = await client.infer(model, [tensor("x", array, datatype, binary)], outputs=wanted)
                got = result.as_numpy("y")
                if datatype == "BYTES" and not binary:
                    got = np.array([e.encode() for e in got.ravel()], object).reshape(got.shape)
                assert equal(got, array), (datatype, shape)

    using(triton_address, work)


@pytest.mark.parametrize("answer", [None, "gzip", "deflate"])
@pytest.mark.parametrize("request_", [None, "gzip", "deflate"])
def test_compression(triton_address: str, request_: str | None, answer: str | None) -> None:
    x = np.random.default_rng(0).standard_normal((200, 50)).astype(np.float32)

    async def work(client: Any) -> None:
        result = await client.infer(
            "same_FP32", [tensor("x", x)], request_compression_algorithm=request_,
            response_compression_algorithm=answer,
        )  # fmt: skip
        np.testing.assert_array_equal(result.as_numpy("y"), x)

    using(triton_address, work)


def test_versions_id_classes_and_defaults(triton_address: str) -> None:
    async def work(client: Any) -> None:
        result = await client.infer("versioned", [tensor("x", X)], model_version="2", request_id="7")
        assert result.as_numpy("y").tolist() == (X + 2).tolist() and result.get_response()["id"] == "7"
        x = np.array([[0.1, 0.2, 0.7]], np.float32)
        result = await client.infer("scores", [tensor("x", x)], outputs=[Wanted("y", class_count=1)])
        assert result.as_numpy("y")[0][0].split(b":")[1:] == [b"2", b"bird"]
        assert (await client.infer("defaults", [tensor("x", X)])).as_numpy("y").tolist() == [6.5, 3.0]

    using(triton_address, work)


def test_many_at_once(triton_address: str) -> None:
    async def work(client: Any) -> None:
        arrays = [np.full((i % 4 + 1, 3), i, np.float32) for i in range(100)]
        results = await asyncio.gather(*(client.infer("same_FP32", [tensor("x", a)]) for a in arrays))
        assert all((r.as_numpy("y") == a).all() for r, a in zip(results, arrays, strict=True))

    using(triton_address, work)


def test_health_and_descriptions(triton_address: str) -> None:
    async def work(client: Any) -> None:
        assert await client.is_server_live() and await client.is_server_ready()
        assert await client.is_model_ready("versioned") and not await client.is_model_ready("nope")
        assert (await client.get_server_metadata())["name"] == "gantline"
        assert (await client.get_model_metadata("versioned"))["versions"] == ["1", "2", "10"]
        assert (await client.get_model_config("scores"))["max_batch_size"] == 16
        (model,) = (await client.get_inference_statistics("scores"))["model_stats"]
        assert model["name"] == "scores"

    using(triton_address, work)


def test_index_load_and_unload(own_address: str) -> None:
    async def work(client: Any) -> None:
        assert {r["name"] for r in await client.get_model_repository_index()} == {"fixed", "versioned"}
        await client.unload_model("versioned")
        assert not await client.is_model_ready("versioned")
        with pytest.raises(aio.InferenceServerException, match="versioned"):
            await client.infer("versioned", [tensor("x", X)])
        await client.load_model("versioned")
        assert (await client.infer("versioned", [tensor("x", X)])).as_numpy("y").tolist() == (X + 10).tolist()

    using(own_address, work)


@pytest.mark.parametrize(
    ("model", "array", "datatype", "status", "message"),
    [
        ("nope", X, "FP32", "404", "unknown model: 'nope'"),
        ("versioned", X.astype(np.int32), "INT32", "400", "datatype INT32, expected FP32"),
        ("versioned", X.reshape(1, 2), "FP32", "400", r"shape \[1,2\], expected \[-1\]"),
    ],
)
def test_wrong_requests(
    triton_address: str, model: str, array: Array, datatype: str, status: str, message: str
) -> None:
    async def work(client: Any) -> None:
        with pytest.raises(aio.InferenceServerException, match=message) as raised:
            await client.infer(model, [tensor("x", array, datatype)])
        assert raised.value.status() == status

    using(triton_address, work)
