"""tritonclient's own shared memory, unmodified, with its HTTP client and a real server."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gantline.tensors import Array

triton = pytest.importorskip("tritonclient.http")
shm = pytest.importorskip("tritonclient.utils.shared_memory")
utils = pytest.importorskip("tritonclient.utils")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="regions are served on Linux only")


@pytest.fixture(scope="module")
def client(serving: Any, triton_repository: Path) -> Iterator[Any]:
    with (
        serving(triton_repository, "--allow-shared-memory") as url,
        triton.InferenceServerClient(url.removeprefix("http://")) as found,
    ):
        yield found


@pytest.fixture
def region(client: Any) -> Iterator[Callable[[str, int], Any]]:
    """Create and register; all are gone after the test."""
    made = []

    def create(name: str, size: int) -> Any:
        key = f"/{name}-{uuid.uuid4().hex}"
        made.append(shm.create_shared_memory_region(name, key, size))
        client.register_system_shared_memory(name, key, size)
        return made[-1]

    yield create
    client.unregister_system_shared_memory()
    client.unregister_cuda_shared_memory()  # as perf_analyzer does
    for one in made:
        shm.destroy_shared_memory_region(one)


def test_infer(client: Any, region: Callable[[str, int], Any], values: Callable[[str, tuple[int, ...]], Array]) -> None:
    for datatype in ("FP32", "INT64", "BOOL", "FP16", "UINT8"):
        array = values(datatype, (3, 5))
        given, taken = region(f"in_{datatype}", array.nbytes), region(f"out_{datatype}", array.nbytes + 64)
        shm.set_shared_memory_region(given, [array])
        x = triton.InferInput("x", [3, 5], datatype)
        x.set_shared_memory(f"in_{datatype}", array.nbytes)
        y = triton.InferRequestedOutput("y")
        y.set_shared_memory(f"out_{datatype}", array.nbytes, offset=64)
        result = client.infer(f"same_{datatype}", [x], outputs=[y])
        assert result.get_output("y")["shape"] == [3, 5]
        got = shm.get_contents_as_numpy(taken, array.dtype, [3, 5], offset=64)
        assert got.tobytes() == array.tobytes()


def test_text(client: Any, region: Callable[[str, int], Any]) -> None:
    array = np.array([b"", b"a", "Tromsø".encode(), b"nul\0nul"], object).reshape(2, 2)
    packed = utils.serialize_byte_tensor(array)
    size = utils.serialized_byte_size(packed)
    shm.set_shared_memory_region(region("text", size), [packed])
    taken = region("answer", size)
    x = triton.InferInput("x", [2, 2], "BYTES")
    x.set_shared_memory("text", size)
    y = triton.InferRequestedOutput("y")
    y.set_shared_memory("answer", size)
    client.infer("same_BYTES", [x], outputs=[y])
    assert shm.get_contents_as_numpy(taken, np.object_, [2, 2]).tolist() == array.tolist()


def test_status_and_errors(client: Any, region: Callable[[str, int], Any]) -> None:
    region("small", 16)
    (found,) = client.get_system_shared_memory_status()
    assert (found["name"], found["offset"], found["byte_size"]) == ("small", 0, 16)
    assert client.get_cuda_shared_memory_status() == []
    with pytest.raises(triton.InferenceServerException, match="already in manager"):
        client.register_system_shared_memory("small", found["key"], 16)
    with pytest.raises(triton.InferenceServerException, match="Unable to open shared memory region"):
        client.register_system_shared_memory("wrong", "/there-is-none", 16)
    x = triton.InferInput("x", [1, 4], "FP32")
    x.set_shared_memory("small", 16)
    y = triton.InferRequestedOutput("y")
    y.set_shared_memory("small", 8)
    with pytest.raises(triton.InferenceServerException, match="should be at least 16 bytes to hold the results"):
        client.infer("same_FP32", [x], outputs=[y])
    client.unregister_system_shared_memory("small")
    with pytest.raises(triton.InferenceServerException, match="Unable to find shared memory region: 'small'"):
        client.infer("same_FP32", [x])
