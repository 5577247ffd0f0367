"""Every answer of a model says which package gave it, on every face and front; a bare file has no package to tell."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest

import gantline
from gantline.client import Client
from gantline.manifest import Manifest
from gantline.packages import seal
from gantline.pb import message

if TYPE_CHECKING:
    from tests.conftest import Starting

HEADER = "Gantline-Package-Digest"
INPUT = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}

MANY = {**INPUT, "shape": [1000, 3], "data": [1] * 3000}


@pytest.fixture(scope="module")
def package(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    root = tmp_path_factory.mktemp("digest") / "double.pkg"
    root.mkdir()
    (root / "model.onnx").write_bytes((zoo / "double.onnx").read_bytes())
    return root, str(seal(root, Manifest("double", "onnx", "model.onnx"), {}).digest)


def told(url: str, path: str, tree: Any = None, **headers: str) -> tuple[int, str | None]:
    """A status, and the digest in its head."""
    body = None if tree is None else json.dumps(tree).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url + path, body, headers)) as answer:
            return answer.status, answer.headers[HEADER]
    except urllib.error.HTTPError as e:
        return e.code, e.headers[HEADER]


@pytest.mark.parametrize("front", ["http1", pytest.param("h2", marks=pytest.mark.slow)])
def test_every_face(package: tuple[Path, str], zoo: Path, starting: Starting, front: str) -> None:
    root, digest = package
    v2, v1 = "/v2/models/double", "/v1/models/double:predict"
    with starting(root, zoo / "lookup.onnx", "--front", front, "--default", "double") as ready:
        url = ready["url"]
        for _ in range(3):  # by the long way, and by the short ones
            assert told(url, v2 + "/infer", {"inputs": [INPUT]}) == (200, digest)
        for path, tree, headers in (
            (v2 + "/infer", {"inputs": [INPUT], "id": "7"}, {}),
            (v2 + "/versions/1/infer", {"inputs": [INPUT], "parameters": {"binary_data_output": True}}, {}),
            (v2 + "/infer", {"inputs": [MANY]}, {"Accept-Encoding": "gzip"}),
            (v2 + "/generate", {"x": [[1, 2, 3]]}, {}),
            (v2 + "/generate_stream", {"x": [[1, 2, 3]]}, {}),
            (v2, None, {}), (v2 + "/config", None, {}), (v2 + "/ready", None, {}),
            ("/v1/models/double", None, {}), ("/v1/models/double/metadata", None, {}),
            (v1, {"instances": [[1, 2, 3]]}, {}),
            ("/invocations", {"inputs": [[1, 2, 3]]}, {"Content-Type": "application/json"}),
        ):  # fmt: skip
            assert told(url, path, tree, **headers) == (200, digest), path
        assert told(url, v2 + "/infer", {"inputs": [{**INPUT, "name": "z"}]}) == (400, digest)
        assert told(url, "/v2/models/lookup/ready") == (200, None)
        assert told(url, "/v2/models/none/infer", {"inputs": [INPUT]}) == (404, None)
        with Client(url) as client:
            rows = {row["name"]: row.get("digest") for row in client.index()}
        assert rows == {"double": digest, "lookup": None}
        over_grpc(ready["grpc"], digest)


def over_grpc(address: str, digest: str) -> None:
    """In a call's trailers; of a stream, each of whose answers may be another model's, in the answer."""
    request = message("inference.ModelInferRequest")(model_name="double")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 3])
    request.raw_input_contents.append(np.ones((1, 3), np.float32).tobytes())
    data = request.SerializeToString()
    with grpc.insecure_channel(address) as channel:
        for _ in range(3):
            _, call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer").with_call(data)
            assert dict(call.trailing_metadata())[HEADER.lower()] == digest
        stream = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")(iter([data, data]))
        answers = [message("inference.ModelStreamInferResponse").FromString(one).infer_response for one in stream]
        assert [one.parameters["package_digest"].string_param for one in answers] == [digest] * 2
        request.inputs[0].name = "z"  # refused before it is queued
        wrong = request.SerializeToString()
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(wrong)
        assert (HEADER.lower(), digest) in tuple(caught.value.trailing_metadata())
        (one,) = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")(iter([wrong]))
        answer = message("inference.ModelStreamInferResponse").FromString(one)
        assert answer.error_message and answer.infer_response.parameters["package_digest"].string_param == digest
        about = message("inference.ModelMetadataRequest")(name="double").SerializeToString()
        for method in ("ModelReady", "ModelMetadata", "ModelConfig"):
            _, call = channel.unary_unary(f"/inference.GRPCInferenceService/{method}").with_call(about)
            assert dict(call.trailing_metadata())[HEADER.lower()] == digest, method


@pytest.mark.slow
def test_a_script(tmp_path: Path, starting: Starting) -> None:
    """What it sets itself does not pass for ours."""
    (tmp_path / "score.py").write_text(
        "import json\n"
        "from azureml.contrib.services.aml_response import AMLResponse\n"
        "def init(): pass\n"
        "def run(data):\n"
        "    if json.loads(data) == 1: return AMLResponse('mine', 200, {'Gantline-Package-Digest': 'sha256:0'})\n"
        "    return 1 / json.loads(data)\n"
    )
    made = gantline.package(script=tmp_path / "score.py", name="script", output=tmp_path / "script.pkg")
    with starting(made.path, "--no-grpc") as ready:
        for path, tree, status in (
            ("/score", 2, 200),
            ("/score", 1, 200),
            ("/score", 0, 500),
            ("/swagger.json", None, 200),
        ):
            found, digest = told(ready["url"], path, tree, **{"Content-Type": "application/json"})
            assert (found, digest) == (status, made.digest), (path, tree)
