"""The asyncio client against a real server."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import numpy as np
import pytest

from gantline.client import AsyncClient, Client
from gantline.errors import BadRequest, NotFound


def test_infer_and_everything_else(url: str) -> None:
    async def main() -> None:
        async with AsyncClient(url, gzip=True) as client:
            assert await client.live() and await client.ready() and await client.ready("double")
            assert (await client.metadata())["name"] == "gantline"
            assert (await client.config("double"))["name"] == "double"
            assert len((await client.statistics())["model_stats"]) == 2
            assert {m["name"] for m in await client.index()} == {"double", "columns"}
            for binary in (True, False):
                result = await client.infer("double", [[1, 2, 3]], binary=binary, id="i")
                assert result["y"].tolist() == [[2, 4, 6]] and result.id == "i"
            assert (await client.infer("double", [[1, 3, 2]], classes=1))["y"].shape == (1, 1)
            with pytest.raises(NotFound):
                await client.infer("nope", [[1]])
            with pytest.raises(BadRequest):
                await client.infer("double", {"x": np.zeros((1, 4), np.float32)})

    asyncio.run(main())


def test_many_at_once(url: str) -> None:
    async def main() -> None:
        async with AsyncClient(url, connections=8) as client:
            x = [np.full((3, 3), i, np.float32) for i in range(100)]
            results = await asyncio.gather(*(client.infer("double", {"x": a}) for a in x))
            assert all((r["y"] == 2 * a).all() for r, a in zip(results, x, strict=True))

    asyncio.run(main())


def test_load_and_unload(serving: Any, models: Any) -> None:
    async def main(url: str) -> None:
        async with AsyncClient(url) as client:
            await client.unload("double")
            assert not await client.ready("double")
            await client.load("double")
            assert await client.ready("double")

    with serving(models / "double.onnx") as url:
        asyncio.run(main(url))


def test_it_has_what_the_blocking_client_has() -> None:
    def public(kind: type) -> dict[str, list[str]]:
        found = inspect.getmembers(kind, inspect.isfunction)
        return {n: list(inspect.signature(m).parameters) for n, m in found if not n.startswith("_") or n == "__init__"}

    assert public(AsyncClient) == public(Client)
