"""The shared-memory endpoints over a real socket, and an infer request whose tensors lie in a region."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from tests.serve.conftest import Answer, Running

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="regions are served on Linux only")
BASE = "/v2/systemsharedmemory"
MIB = 1 << 20


def get(server: Running, path: str) -> Answer:
    (answer,) = server.ask(server.get(path))
    return answer


def post(server: Running, path: str, body: bytes | dict[str, Any] = b"") -> Answer:
    (answer,) = server.ask(server.post(path, body))
    return answer


@pytest.fixture(scope="module")
def sharing(servers: Callable[..., Running]) -> Running:
    return servers(allow_shared_memory="true")


@pytest.fixture
def shm(sharing: Running) -> Iterator[Path]:
    path = Path("/dev/shm") / f"gantline-test-{uuid.uuid4().hex}"
    path.write_bytes(bytes(4 * MIB))
    yield path
    path.unlink()
    post(sharing, f"{BASE}/unregister")


def test_register_status_unregister(sharing: Running, shm: Path) -> None:
    assert "system_shared_memory" in get(sharing, "/v2").json()["extensions"]
    said = {"key": f"/{shm.name}", "offset": 16, "byte_size": 32}
    assert post(sharing, f"{BASE}/region/a%20b/register", said).status == 200
    want = [{"name": "a b", **said}]
    assert get(sharing, f"{BASE}/status").json() == want
    assert get(sharing, f"{BASE}/region/a%20b/status").json() == want
    again = post(sharing, f"{BASE}/region/a%20b/register", said)
    assert (again.status, again.json()) == (400, {"error": "shared memory region 'a b' already in manager"})
    assert post(sharing, f"{BASE}/region/a%20b/unregister").status == 200
    assert get(sharing, f"{BASE}/status").json() == []
    assert get(sharing, f"{BASE}/region/a%20b/status").status == 404


@pytest.mark.parametrize("body", [{}, {"key": "k"}, {"byte_size": 1}, {"key": "k", "byte_size": "1"}])
def test_wrong_registrations(sharing: Running, body: dict[str, Any]) -> None:
    answer = post(sharing, f"{BASE}/region/r/register", body)
    assert answer.status == 400 and "region 'r'" in answer.json()["error"]
    assert post(sharing, f"{BASE}/register", body).status == 400


def test_there_is_no_cuda_memory(sharing: Running) -> None:
    base = "/v2/cudasharedmemory"
    assert get(sharing, f"{base}/status").json() == [] and get(sharing, f"{base}/region/r/status").json() == []
    assert (
        post(sharing, f"{base}/unregister").status == 200 and post(sharing, f"{base}/region/r/unregister").status == 200
    )
    assert post(sharing, f"{base}/region/r/register", {}).status == 501


def test_off_by_default(server: Running) -> None:
    assert post(server, f"{BASE}/region/r/register", {"key": "k", "byte_size": 1}).status == 501
    assert get(server, f"{BASE}/status").json() == [] and post(server, f"{BASE}/unregister").status == 200
    place = {"shared_memory_region": "r", "shared_memory_byte_size": 12}
    x = {"name": "x", "shape": [1, 3], "datatype": "FP32", "parameters": place}
    assert post(server, "/v2/models/double/infer", {"inputs": [x]}).status == 400


@pytest.mark.parametrize("rows", [2, 150_000], ids=["small", "large"])  # the large one is read on a thread
def test_infer_through_a_region(sharing: Running, shm: Path, rows: int) -> None:
    x = np.arange(3 * rows, dtype=np.float32).reshape(rows, 3)
    half = 2 * MIB
    with shm.open("r+b") as file:
        file.write(x.tobytes())
    for region, offset in (("in", 0), ("out", half)):
        said = {"key": shm.name, "offset": offset, "byte_size": half}
        assert post(sharing, f"{BASE}/region/{region}/register", said).status == 200
    given = {"shared_memory_region": "in", "shared_memory_byte_size": x.nbytes}
    taken = {"shared_memory_region": "out", "shared_memory_byte_size": half - 8, "shared_memory_offset": 8}
    wish: dict[str, Any] = {"name": "y", "parameters": taken}
    body = {
        "outputs": [wish],
        "inputs": [{"name": "x", "shape": [rows, 3], "datatype": "FP32", "parameters": given}],
    }
    answer = post(sharing, "/v2/models/double/infer", body)
    assert answer.status == 200, answer.body
    (y,) = answer.json()["outputs"]
    assert y["shape"] == [rows, 3] and y["parameters"] == taken | {"shared_memory_byte_size": x.nbytes}
    found = np.frombuffer(shm.read_bytes(), np.float32, 3 * rows, half + 8).reshape(rows, 3)
    np.testing.assert_array_equal(found, x + x)
    for small, status in (({"shared_memory_byte_size": 8}, 400), ({"shared_memory_region": "nope"}, 404)):
        wish["parameters"] = taken | small
        assert post(sharing, "/v2/models/double/infer", body).status == status
