"""The blocking client against a real server."""

from __future__ import annotations

import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import gantline
from gantline.client import Client
from gantline.errors import BadRequest, NotFound, TooLarge, Unavailable, Unreachable


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[Client]:
    with Client(url) as found:
        yield found


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize(
    "inputs", [{"x": np.array([[1, 2, 3]], np.float32)}, {"x": [[1, 2, 3]]}, [[1, 2, 3]], np.array([[1, 2, 3]])]
)
def test_infer(client: Client, inputs: Any, binary: bool) -> None:
    result = client.infer("double", inputs, ["y"], "1", id="7", binary=binary)
    assert result["y"].tolist() == [[2, 4, 6]] and result["y"].dtype == np.float32
    assert (result.model, result.version, result.id) == ("double", "1", "7")


def test_tables_and_text(client: Client) -> None:
    pd = pytest.importorskip("pandas")
    result = client.infer("columns", pd.DataFrame({"age": [1, 2], "city": ["Oslo", "Tromsø"]}))
    assert result.text("city_out").tolist() == [["Oslo"], ["Tromsø"]]
    assert result["age_out"].tolist() == [[1], [2]]


def test_classes(client: Client) -> None:
    result = client.infer("double", [[1, 3, 2]], classes=2)
    assert [e.decode().split(":")[1] for e in result["y"].ravel()] == ["1", "2"]


def test_large_and_compressed(url: str) -> None:
    x = np.random.default_rng(0).standard_normal((20000, 3)).astype(np.float32)
    for binary in (True, False):
        with Client(url, gzip=True, binary=binary) as client:
            np.testing.assert_array_equal(client.infer("double", {"x": x})["y"], x + x)


def test_health_and_description(client: Client) -> None:
    assert client.live() and client.ready() and client.ready("double") and client.ready("double", "1")
    assert client.metadata()["name"] == "gantline"
    assert client.metadata("double")["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]
    assert client.config("double")["input"][0]["dims"] in ([3], [-1, 3])
    assert [m["name"] for m in client.statistics()["model_stats"]] == ["columns", "double"]
    assert client.statistics("double", "1")["model_stats"][0]["inference_stats"]["success"]["count"] >= 0


def test_index_load_and_unload(serving: Any, models: Any) -> None:
    with serving(models / "double.onnx") as url, Client(url) as client:
        assert client.index() == [{"name": "double", "version": "1", "state": "READY", "reason": ""}]
        client.unload("double")
        assert not client.ready("double") and client.index(ready=True) == []
        with pytest.raises(Unavailable, match="unloaded"):
            client.infer("double", {"x": np.zeros((1, 3), np.float32)})
        client.load("double")
        assert client.infer("double", [[1, 2, 3]])["y"].tolist() == [[2, 4, 6]]


def test_errors(client: Client) -> None:
    x = np.zeros((1, 3), np.float32)
    with pytest.raises(NotFound, match="unknown model: 'nope'"):
        client.infer("nope", {"x": x})
    with pytest.raises(NotFound):
        client.ready("nope")
    with pytest.raises(BadRequest, match=r"shape \[1,4\], expected \[-1,3\]"):
        client.infer("double", {"x": np.zeros((1, 4), np.float32)})
    with pytest.raises(BadRequest, match="FP64, expected FP32"):
        client.infer("double", {"x": x.astype(float)})
    with pytest.raises(NotFound):
        client.load("nope")
    assert client.infer("double", {"x": x})["y"].shape == (1, 3)


def test_a_body_over_the_limit(serving: Any, models: Any) -> None:
    with serving(models / "double.onnx", "--max-body-bytes", "100KiB") as url, Client(url) as client:
        with pytest.raises(TooLarge):
            client.infer("double", {"x": np.zeros((100_000, 3), np.float32)})
        assert client.infer("double", [[1, 2, 3]])["y"].shape == (1, 3)


def test_threads_share_a_client(url: str) -> None:
    wrong: list[object] = []

    def work(value: int) -> None:
        for i in range(20):
            x = np.full((1 + i % 3, 3), value, np.float32)
            if not np.array_equal(shared.infer("double", {"x": x})["y"], x + x):
                wrong.append(value)

    with Client(url, connections=4) as shared:
        threads = [threading.Thread(target=work, args=(v,)) for v in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_the_server_may_restart(serving: Any, models: Any) -> None:
    with Client("http://127.0.0.1:1") as nobody:
        assert not nobody.live() and not nobody.ready()
        with pytest.raises(Unreachable):
            nobody.metadata()
    with serving(models / "double.onnx") as url:
        client = Client(url)
        client.metadata()
    with pytest.raises(Unreachable):
        client.metadata()
    port = url.rpartition(":")[2]
    with serving(models / "double.onnx", "--http-port", port):
        assert client.metadata()["name"] == "gantline"
    client.close()


def test_plain_http_where_tls_was_expected(url: str) -> None:
    with pytest.raises(Unreachable, match="TLS failed"):
        Client(url.replace("http:", "https:"), tls=ssl.create_default_context()).metadata()


def test_no_server_code_is_imported() -> None:
    heavy = ["onnxruntime", "starlette", "uvicorn", "gantline.serve", "gantline.accelerators", "pandas", "google"]
    code = f"import sys, gantline.client; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert gantline.Client is Client
