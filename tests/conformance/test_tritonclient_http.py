"""The public tritonclient.http, unmodified, against a real server: all that V2 REST asks for."""

from __future__ import annotations

import http.client
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gantline.tensors import DATATYPES, Array

triton = pytest.importorskip("tritonclient.http")
InferInput, Wanted = triton.InferInput, triton.InferRequestedOutput
Values = Callable[[str, tuple[int, ...]], Array]
Equal = Callable[[Array, Array], bool]


@pytest.fixture(scope="module")
def client(triton_address: str) -> Iterator[Any]:
    with triton.InferenceServerClient(triton_address, concurrency=4) as found:
        yield found


@pytest.fixture
def own_client(own_address: str) -> Iterator[Any]:
    with triton.InferenceServerClient(own_address) as found:
        yield found


def tensor(name: str, array: Array, datatype: str = "FP32", binary: bool = True) -> Any:
    return InferInput(name, list(array.shape), datatype).set_data_from_numpy(array, binary_data=binary)


X = np.array([1.5, -2.0], np.float32)


@pytest.mark.parametrize("shape", [(2, 4), (1, 1), (0, 3), (3, 0), ()])
@pytest.mark.parametrize("binary_out", [True, False])
@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_datatype_both_ways(
    client: Any, values: Values, equal: Equal, datatype: str, binary_in: bool, binary_out: bool, shape: tuple[int, ...]
) -> None:
    if datatype == "BF16" and not binary_in:
        pytest.skip("tritonclient itself refuses BF16 in JSON")
    array = values(datatype, shape)
    model = f"same_{datatype}" if shape else f"scalar_{datatype}"
    result = client.infer(
        model, [tensor("x", array, datatype, binary_in)], outputs=[Wanted("y", binary_data=binary_out)]
    )
    got = result.as_numpy("y")
    if datatype == "BYTES" and not binary_out:
        got = np.array([e.encode() if isinstance(e, str) else e for e in got.ravel()], object).reshape(got.shape)
    assert result.get_output("y")["datatype"] == datatype
    assert equal(got, array)


def test_outputs_that_are_not_listed_come_in_binary(client: Any) -> None:
    result = client.infer("defaults", [tensor("x", X)])
    assert result.get_output("y")["parameters"]["binary_data_size"] == 8
    assert result.as_numpy("y").tolist() == [6.5, 3.0]


def test_many_inputs_and_outputs(client: Any, values: Values, equal: Equal) -> None:
    names = [d for d in DATATYPES if d != "BF16"]
    arrays = {d: values(d, (5,)) for d in names}
    inputs = [tensor(f"in_{d}", arrays[d], d, binary=i % 2 == 0) for i, d in enumerate(names)]
    result = client.infer("many", inputs)
    assert [o["name"] for o in result.get_response()["outputs"]] == [f"out_{d}" for d in names]
    assert all(equal(result.as_numpy(f"out_{d}"), arrays[d]) for d in names)
    wanted = [Wanted(f"out_{d}", binary_data=d != "FP64") for d in ("INT8", "FP64", "BYTES")]
    result = client.infer("many", inputs, outputs=wanted)
    assert [o["name"] for o in result.get_response()["outputs"]] == ["out_INT8", "out_FP64", "out_BYTES"]
    assert all(equal(result.as_numpy(f"out_{d}"), arrays[d]) for d in ("INT8", "FP64", "BYTES"))


def test_an_input_that_may_be_left_out(client: Any) -> None:
    assert client.infer("defaults", [tensor("x", X)]).as_numpy("y").tolist() == [6.5, 3.0]
    b = tensor("b", np.array([1], np.float32))
    assert client.infer("defaults", [tensor("x", X), b]).as_numpy("y").tolist() == [2.5, -1.0]


def test_maps_and_sequences_become_tensors(client: Any) -> None:
    x = np.array([[0.25, 0.75], [1, 0]], np.float32)
    assert client.infer("maps", [tensor("x", x)]).as_numpy("y").tolist() == x.tolist()
    assert client.infer("sequence", [tensor("x", X)]).as_numpy("y").tolist() == [X.tolist()] * 2


@pytest.mark.parametrize("binary", [True, False])
def test_classification(client: Any, binary: bool) -> None:
    x = np.array([[0.1, 0.2, 0.7], [0.5, 0.4, 0.1]], np.float32)
    wanted = [Wanted("y", binary_data=binary, class_count=2)]
    got = client.infer("scores", [tensor("x", x)], outputs=wanted).as_numpy("y")
    shown = [[e.decode() if isinstance(e, bytes) else e for e in row] for row in got]
    assert [[e.split(":")[1:] for e in row] for row in shown] == [
        [["2", "bird"], ["1", "dog"]],
        [["0", "cat"], ["1", "dog"]],
    ]
    assert [float(e.split(":")[0]) for e in shown[0]] == pytest.approx([0.7, 0.2])
    wanted = [Wanted("y", class_count=1)]
    got = client.infer("same_FP32", [tensor("x", x)], outputs=wanted).as_numpy("y")
    assert [e.decode().split(":")[1:] for e in got.ravel()] == [["2"], ["0"]]


@pytest.mark.parametrize("answer", [None, "gzip", "deflate"])
@pytest.mark.parametrize("request_", [None, "gzip", "deflate"])
def test_compression(client: Any, request_: str | None, answer: str | None) -> None:
    x = np.random.default_rng(0).standard_normal((200, 50)).astype(np.float32)
    for binary in (True, False):
        result = client.infer(
            "same_FP32", [tensor("x", x, binary=binary)], outputs=[Wanted("y", binary_data=binary)],
            request_compression_algorithm=request_, response_compression_algorithm=answer,
        )  # fmt: skip
        np.testing.assert_array_equal(result.as_numpy("y"), x)


@pytest.mark.parametrize(("version", "plus"), [("", 10), ("1", 1), ("2", 2), ("10", 10)])
def test_versions(client: Any, version: str, plus: float) -> None:
    result = client.infer("versioned", [tensor("x", X)], model_version=version)
    assert result.as_numpy("y").tolist() == (X + plus).tolist()
    assert result.get_response()["model_version"] == (version or "10")
    assert result.get_response()["model_name"] == "versioned"


def test_id_and_parameters(client: Any) -> None:
    assert "id" not in client.infer("versioned", [tensor("x", X)]).get_response()
    result = client.infer(
        "versioned", [tensor("x", X)], request_id="my id ø", priority=1, timeout=10_000_000,
        parameters={"text": "a", "whole": 1, "real": 1.5, "truth": True},
    )  # fmt: skip
    assert result.get_response()["id"] == "my id ø"


def test_many_at_once(client: Any) -> None:
    pending = [
        client.async_infer("same_FP32", [tensor("x", np.full((i % 4 + 1, 3), i, np.float32))]) for i in range(40)
    ]
    for i, one in enumerate(pending):
        assert (one.get_result().as_numpy("y") == i).all()


def test_a_large_tensor(client: Any) -> None:
    x = np.arange(2_000_000, dtype=np.float32).reshape(1000, 2000)
    np.testing.assert_array_equal(client.infer("same_FP32", [tensor("x", x)]).as_numpy("y"), x)


def test_health_and_metadata(client: Any) -> None:
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("versioned") and client.is_model_ready("versioned", "2")
    assert not client.is_model_ready("versioned", "3") and not client.is_model_ready("nope")
    assert set(client.get_server_metadata()) == {"name", "version", "extensions"}
    found = client.get_model_metadata("versioned")
    assert found["versions"] == ["1", "2", "10"] and found["platform"] == "onnxruntime_onnx"
    assert found["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1]}]
    assert client.get_model_metadata("scores", "1")["inputs"][0]["shape"] == [-1, 3]
    for datatype in DATATYPES:
        assert client.get_model_metadata(f"same_{datatype}")["outputs"][0]["datatype"] == datatype


def test_config(client: Any) -> None:
    config = client.get_model_config("scores")
    assert (config["name"], config["max_batch_size"], config["backend"]) == ("scores", 16, "onnxruntime")
    assert config["input"][0]["dims"] == [3] and config["input"][0]["data_type"] == "TYPE_FP32"
    assert config["output"][0]["label_filename"] == "labels.txt"
    assert client.get_model_config("versioned", "2")["version_policy"] == {"all": {}}
    fixed = client.get_model_config("fixed")
    assert fixed["max_batch_size"] == 0 and fixed["input"][0]["dims"] == [2, 3]


def test_statistics(client: Any) -> None:
    def count() -> int:
        (model,) = client.get_inference_statistics("fixed")["model_stats"]
        assert (model["name"], model["version"]) == ("fixed", "1")
        return int(model["inference_stats"]["success"]["count"])

    before = count()
    client.infer("fixed", [tensor("x", np.zeros((2, 3), np.float32))])
    assert count() == before + 1
    everything = client.get_inference_statistics()["model_stats"]
    assert {(m["name"], m["version"]) for m in everything} >= {("versioned", "1"), ("versioned", "10"), ("scores", "1")}


def test_index_load_and_unload(own_client: Any) -> None:
    rows = own_client.get_model_repository_index()
    assert [(r["name"], r["version"], r["state"]) for r in rows] == [
        ("fixed", "1", "READY"),
        ("versioned", "1", "READY"),
        ("versioned", "2", "READY"),
        ("versioned", "10", "READY"),
    ]
    own_client.unload_model("versioned")
    assert not own_client.is_model_ready("versioned") and own_client.is_server_ready()
    with pytest.raises(triton.InferenceServerException, match="versioned"):
        own_client.infer("versioned", [tensor("x", X)])
    assert {r["name"]: r.get("state") for r in own_client.get_model_repository_index()}["fixed"] == "READY"
    own_client.load_model("versioned")
    assert own_client.infer("versioned", [tensor("x", X)]).as_numpy("y").tolist() == (X + 10).tolist()
    with pytest.raises(triton.InferenceServerException, match="nope"):
        own_client.load_model("nope")


def test_load_sees_what_changed_on_disk(serving: Any, triton_repository: Any, tmp_path: Path) -> None:
    root = tmp_path / "repository"
    shutil.copytree(triton_repository / "versioned", root / "versioned")
    with serving(root) as url, triton.InferenceServerClient(url.removeprefix("http://")) as client:

        def versions() -> list[str]:
            return list(client.get_model_metadata("versioned")["versions"])

        (root / "versioned/10").rename(root / "versioned/11")
        assert versions() == ["1", "2", "10"]
        client.load_model("versioned")
        assert versions() == ["1", "2", "11"]
        assert client.infer("versioned", [tensor("x", X)]).as_numpy("y").tolist() == (X + 10).tolist()
        client.load_model("versioned", config='{"version_policy": {"specific": {"versions": [2]}}}')
        assert versions() == ["2"]
        assert client.infer("versioned", [tensor("x", X)]).as_numpy("y").tolist() == (X + 2).tolist()
        (root / "versioned/config.pbtxt").write_text('input { name: "nope" }')
        with pytest.raises(triton.InferenceServerException, match="input 'nope' is not the model's") as raised:
            client.load_model("versioned")
        assert raised.value.status() == "500" and versions() == ["2"], "what served goes on"
        shutil.copytree(triton_repository / "fixed", root / "fixed")
        assert not client.is_model_ready("fixed")
        client.load_model("fixed")
        assert client.is_model_ready("fixed")
        shutil.rmtree(root / "fixed")
        with pytest.raises(triton.InferenceServerException, match="not in the repository"):
            client.load_model("fixed")
        assert client.is_model_ready("fixed")


def test_load_with_files(own_client: Any, triton_repository: Any) -> None:
    """They take the place of what lies in the repository, until the model is loaded without them."""
    model = (triton_repository / "versioned/2/model.onnx").read_bytes()
    config = '{"max_batch_size": 0, "version_policy": {"all": {}}}'
    own_client.load_model("versioned", config=config, files={"file:7/model.onnx": model})
    assert own_client.get_model_metadata("versioned")["versions"] == ["7"]
    assert own_client.infer("versioned", [tensor("x", X)]).as_numpy("y").tolist() == (X + 2).tolist()
    own_client.load_model("new", config="{}", files={"file:1/model.onnx": model})
    assert own_client.infer("new", [tensor("x", X)]).as_numpy("y").tolist() == (X + 2).tolist()
    for files, status in (({"file:../x": b""}, "400"), ({"file:7/model.onnx": model[:-9]}, "400")):
        with pytest.raises(triton.InferenceServerException) as raised:
            own_client.load_model("versioned", config=config, files=files)
        assert raised.value.status() == status
    assert own_client.get_model_metadata("versioned")["versions"] == ["7"]
    own_client.load_model("versioned")
    assert own_client.get_model_metadata("versioned")["versions"] == ["1", "2", "10"]
    own_client.unload_model("new")
    with pytest.raises(triton.InferenceServerException, match="failed to load 'new', it is not in the repository"):
        own_client.load_model("new")


def wrong(name: str) -> tuple[str, list[Any], dict[str, Any]]:
    """A model, inputs and keywords that the server must refuse."""
    x = tensor("x", X)
    table: dict[str, tuple[str, list[Any], dict[str, Any]]] = {
        "unknown model": ("nope", [x], {}),
        "unknown version": ("versioned", [x], {"model_version": "3"}),
        "extra input": ("versioned", [x, tensor("z", X)], {}),
        "missing input": ("many", [tensor("in_FP32", X)], {}),
        "twice": ("versioned", [x, x], {}),
        "datatype": ("versioned", [tensor("x", X.astype(np.int32), "INT32")], {}),
        "rank": ("versioned", [tensor("x", X.reshape(1, 2))], {}),
        "shape": ("fixed", [tensor("x", np.zeros((2, 4), np.float32))], {}),
        "output": ("versioned", [x], {"outputs": [Wanted("nope")]}),
        "too many rows for text": ("same_BYTES", [tensor("x", X)], {}),
    }
    return table[name]


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("unknown model", "404", "Request for unknown model: 'nope' is not found"),
        ("unknown version", "404", "version 3 is not found"),
        ("extra input", "400", "unexpected input 'z'"),
        ("missing input", "400", "input 'in_BOOL' is missing"),
        ("twice", "400", "input 'x' is given twice"),
        ("datatype", "400", "datatype INT32, expected FP32"),
        ("rank", "400", r"shape \[1,2\], expected \[-1\]"),
        ("shape", "400", r"shape \[2,4\], expected \[2,3\]"),
        ("output", "400", "unexpected output 'nope'"),
        ("too many rows for text", "400", "input 'x'"),
    ],
)
def test_wrong_requests(client: Any, name: str, status: str, message: str) -> None:
    model, inputs, more = wrong(name)
    with pytest.raises(triton.InferenceServerException, match=message) as raised:
        client.infer(model, inputs, **more)
    assert raised.value.status() == status
    assert client.infer("versioned", [tensor("x", X)]).as_numpy("y").tolist() == (X + 10).tolist()


def _post(address: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(address, timeout=20)
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def test_a_raw_binary_request(triton_address: str) -> None:
    """Header length 0: the body is nothing but the one input, and the outputs come in binary."""
    headers = {"Inference-Header-Content-Length": "0"}
    status, found, body = _post(triton_address, "/v2/models/fixed/infer", np.arange(6, dtype="<f4").tobytes(), headers)
    assert status == 200, body
    length = int(found["inference-header-content-length"])
    assert json.loads(body[:length])["outputs"][0]["shape"] == [2, 3]
    assert np.frombuffer(body[length:], "<f4").tolist() == [0, -1, -2, -3, -4, -5]
    status, _, body = _post(triton_address, "/v2/models/fixed/infer", b"\0" * 23, headers)
    assert status == 400 and "error" in json.loads(body)


@pytest.mark.parametrize("by", [-4, -1, 1, 4])
def test_byte_counts_that_are_off(triton_address: str, by: int) -> None:
    body, length = triton.InferenceServerClient.generate_request_body([tensor("x", X)])
    body = body + b"\0" * by if by > 0 else body[:by]
    headers = {"Inference-Header-Content-Length": str(length)}
    status, _, answer = _post(triton_address, "/v2/models/versioned/infer", body, headers)
    assert status == 400 and "input" in json.loads(answer)["error"]


def test_bodies_made_and_parsed_by_the_client(triton_address: str) -> None:
    body, length = triton.InferenceServerClient.generate_request_body([tensor("x", X)], request_id="7")
    headers = {"Inference-Header-Content-Length": str(length)}
    status, found, answer = _post(triton_address, "/v2/models/versioned/infer", body, headers)
    assert status == 200
    parsed = triton.InferenceServerClient.parse_response_body(
        answer, header_length=int(found["inference-header-content-length"])
    )
    assert parsed.as_numpy("y").tolist() == (X + 10).tolist() and parsed.get_response()["id"] == "7"
