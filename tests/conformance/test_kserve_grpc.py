"""KServe's own gRPC client, unmodified, in an environment of its own: its protobuf messages are another's here."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.oracle, pytest.mark.slow]
TALK = """
import asyncio, json, sys
import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest

async def infer(client, model, datatype, values, binary):
    array = np.array(values, {"FP32": np.float32, "INT64": np.int64, "BYTES": object}[datatype])
    sent = InferInput("x", list(array.shape), datatype)
    sent.set_data_from_numpy(array, binary_data=binary)
    answer = await client.infer(InferRequest(model, [sent], request_id="7"))
    found = answer.outputs[0].as_numpy().tolist()
    return [answer.model_name, answer.id, answer.outputs[0].datatype, [[str(v) for v in row] for row in found]]

async def main(address):
    client = InferenceGRPCClient(address, retries=0)
    out = {"live": await client.is_server_live(), "ready": await client.is_server_ready(),
           "model": await client.is_model_ready("scores")}
    for binary in (True, False):
        out[f"FP32 {binary}"] = await infer(client, "same_FP32", "FP32", [[1.5, -2.0]], binary)
        out[f"INT64 {binary}"] = await infer(client, "same_INT64", "INT64", [[1, -2]], binary)
        out[f"BYTES {binary}"] = await infer(client, "same_BYTES", "BYTES", [[b"a", b"bc"]], binary)
    try:
        await infer(client, "nope", "FP32", [[1.0]], True)
    except Exception as e:
        out["error"] = str(e)
    await client.close()
    print(json.dumps(out))

asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def python(rival: Callable[[str], Path]) -> Path:
    """The client's interpreter."""
    return rival("kserve")


def test_its_client_works(python: Path, grpc_address: str) -> None:
    done = subprocess.run([python, "-c", TALK, grpc_address], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found["live"] and found["ready"] and found["model"]
    for binary in (True, False):
        assert found[f"FP32 {binary}"] == ["same_FP32", "7", "FP32", [["1.5", "-2.0"]]]
        assert found[f"INT64 {binary}"] == ["same_INT64", "7", "INT64", [["1", "-2"]]]
        assert found[f"BYTES {binary}"][:3] == ["same_BYTES", "7", "BYTES"]
        assert found[f"BYTES {binary}"][3] in ([["a", "bc"]], [["b'a'", "b'bc'"]])
    assert "nope" in found["error"]
