"""KServe's own REST client, unmodified, in an environment of its own: V1 and V2, over real sockets."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.oracle, pytest.mark.slow]
TALK = """
import asyncio, json, sys
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

async def failing(call):
    try:
        await call
    except Exception as e:
        return f"{type(e).__name__}: {e}"

async def main(url):
    one, two = (InferenceRESTClient(RESTConfig(protocol=p, retries=0)) for p in ("v1", "v2"))
    rows = {"instances": [[1.5, 2, 3], [4, 5, 6]]}
    out = {
        "v1 live": await one.is_server_live(url),
        "v1 ready": await one.is_model_ready(url, "double"),
        "v1 rows": await one.infer(url, rows, "double"),
        "v1 columns": await one.infer(url, {"inputs": rows["instances"]}, "double"),
        "v1 named": await one.infer(url, {"instances": [{"x": [1, 2, 3]}]}, "double"),
        "v1 wrong": await failing(one.infer(url, {"instances": [[1]]}, "double")),
        "v1 explain": await failing(one.explain(url, "double", rows)),
        "v1 unknown": await failing(one.infer(url, rows, "nope")),
        "v1 not there": await failing(one.is_model_ready(url, "nope")),
        "v2 live": await two.is_server_live(url),
        "v2 server": await two.is_server_ready(url),
        "v2 ready": [await two.is_model_ready(url, m) for m in ("double", "nope")],
    }
    for binary in (True, False):
        sent = InferInput("x", [2, 3], "FP32")
        sent.set_data_from_numpy(np.array(rows["instances"], np.float32), binary_data=binary)
        answer = await two.infer(url, InferRequest("double", [sent], request_id="7"), "double")
        out[f"v2 {binary}"] = [answer.id, answer.outputs[0].as_numpy().tolist()]
    out["v2 wrong"] = await failing(two.infer(url, {"inputs": []}, "double"))
    await one.close()
    await two.close()
    print(json.dumps(out))

asyncio.run(main(sys.argv[1]))
"""
DOUBLED = [[3.0, 4.0, 6.0], [8.0, 10.0, 12.0]]


@pytest.fixture(scope="module")
def python(rival: Callable[[str], Path]) -> Path:
    """The client's interpreter."""
    return rival("kserve")


@pytest.fixture(scope="module")
def url(serving: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    onnx = pytest.importorskip("onnx")
    h, float32 = onnx.helper, onnx.TensorProto.FLOAT
    info = h.make_tensor_value_info
    graph = h.make_graph(
        [h.make_node("Add", ["x", "x"], ["y"])], "g", [info("x", float32, ["N", 3])], [info("y", float32, ["N", 3])]
    )
    place = tmp_path_factory.mktemp("models") / "double.onnx"
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), place)
    with serving(place) as found:
        yield found


def test_its_client_works(python: Path, url: str) -> None:
    done = subprocess.run([python, "-c", TALK, url], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    for yes in ("v1 live", "v1 ready", "v2 live", "v2 server"):
        assert found[yes] is True, yes
    assert found["v1 rows"] == {"predictions": DOUBLED} and found["v1 columns"] == {"outputs": DOUBLED}
    assert found["v1 named"] == {"predictions": [[2, 4, 6]]}
    assert "input 'x' has shape [1,1], expected [-1,3], '400 Bad Request'" in found["v1 wrong"]
    assert "has no explainer" in found["v1 explain"] and "501" in found["v1 explain"]
    assert "unknown model: 'nope'" in found["v1 unknown"] and "404" in found["v1 not there"]
    assert found["v2 ready"] == [True, False]
    assert found["v2 True"] == found["v2 False"] == ["7", DOUBLED]
    assert "input 'x' is missing" in found["v2 wrong"]


EVENTS = """
import asyncio, json, sys
import httpx
from cloudevents.conversion import to_binary, to_structured
from cloudevents.http import CloudEvent, from_http

async def main(url):
    out = {}
    async with httpx.AsyncClient() as client:
        for mode, packed in (("binary", to_binary), ("structured", to_structured)):
            for word in ("instances", "inputs"):
                told = {"type": "t", "source": "https://example.com/s"}
                event = CloudEvent(told, {word: [[1.5, 2, 3]]})
                headers, body = packed(event)
                answer = await client.post(f"{url}/v1/models/double:predict", headers=headers, content=body)
                got = from_http(answer.headers, answer.content)
                data = got.data if isinstance(got.data, dict) else json.loads(got.data)
                kind = answer.headers["content-type"]
                fresh = got["id"] != event["id"] and bool(got["time"])
                out[f"{mode} {word}"] = [answer.status_code, kind, got["type"], got["source"], fresh, data]
    print(json.dumps(out))

asyncio.run(main(sys.argv[1]))
"""


def test_cloud_events_come_and_go(python: Path, url: str) -> None:
    """Written and read by CloudEvents' own library, which KServe's server uses."""
    done = subprocess.run([python, "-c", EVENTS, url], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    for mode, kind in (("binary", "application/json"), ("structured", "application/cloudevents+json")):
        for word, answered in (("instances", "predictions"), ("inputs", "outputs")):
            data = {answered: [[3.0, 4.0, 6.0]]}
            wanted = [200, kind, "io.kserve.inference.response", "io.kserve.inference.double", True, data]
            assert found[f"{mode} {word}"] == wanted
