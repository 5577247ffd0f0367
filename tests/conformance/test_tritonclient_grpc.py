"""The public tritonclient.grpc, unmodified, against a real server: all that it can ask, on each gRPC front."""

from __future__ import annotations

import os
import queue
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gantline.tensors import DATATYPES, Array

if TYPE_CHECKING:
    from tests.conformance.conftest import Held

grpc = pytest.importorskip("grpc")
triton = pytest.importorskip("tritonclient.grpc")
InferInput, Wanted = triton.InferInput, triton.InferRequestedOutput
Values = Callable[[str, tuple[int, ...]], Array]
Equal = Callable[[Array, Array], bool]
X = np.array([1.5, -2.0], np.float32)
WAIT_S = 60.0


@pytest.fixture(scope="module")
def client(grpc_address: str) -> Iterator[Any]:
    with triton.InferenceServerClient(grpc_address) as found:
        yield found


@pytest.fixture
def own_client(own_grpc_address: str) -> Iterator[Any]:
    with triton.InferenceServerClient(own_grpc_address) as found:
        yield found


def tensor(name: str, array: Array, datatype: str = "FP32") -> Any:
    return InferInput(name, list(array.shape), datatype).set_data_from_numpy(array)


@pytest.mark.parametrize("shape", [(2, 4), (0, 3), ()])
@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_datatype(client: Any, values: Values, equal: Equal, datatype: str, shape: tuple[int, ...]) -> None:
    array = values(datatype, shape)
    model = f"same_{datatype}" if shape else f"scalar_{datatype}"
    result = client.infer(model, [tensor("x", array, datatype)])
    assert result.get_output("y").datatype == datatype and equal(result.as_numpy("y"), array)


@pytest.mark.parametrize("datatype", [d for d in DATATYPES if DATATYPES[d].contents])
def test_typed_contents(client: Any, values: Values, equal: Equal, datatype: str) -> None:
    """As clients made from the protocol's own definition send them; tritonclient's messages serve to build them."""
    array = values(datatype, (2, 4))
    request = triton.service_pb2.ModelInferRequest(model_name=f"same_{datatype}")
    sent = request.inputs.add(name="x", datatype=datatype, shape=array.shape)
    getattr(sent.contents, DATATYPES[datatype].contents or "").extend(array.ravel().tolist())
    result = triton.InferResult(client._client_stub.ModelInfer(request))
    assert equal(result.as_numpy("y"), array)


def test_many_inputs_and_outputs(client: Any, values: Values, equal: Equal) -> None:
    names = [d for d in DATATYPES if d != "BF16"]
    arrays = {d: values(d, (5,)) for d in names}
    inputs = [tensor(f"in_{d}", arrays[d], d) for d in names]
    result = client.infer("many", inputs)
    assert [o.name for o in result.get_response().outputs] == [f"out_{d}" for d in names]
    assert all(equal(result.as_numpy(f"out_{d}"), arrays[d]) for d in names)
    result = client.infer("many", inputs, outputs=[Wanted(f"out_{d}") for d in ("INT8", "FP64", "BYTES")])
    assert [o.name for o in result.get_response().outputs] == ["out_INT8", "out_FP64", "out_BYTES"]
    assert all(equal(result.as_numpy(f"out_{d}"), arrays[d]) for d in ("INT8", "FP64", "BYTES"))


def test_versions_id_classes_parameters_and_defaults(client: Any) -> None:
    result = client.infer(
        "versioned", [tensor("x", X)], model_version="2", request_id="7", priority=1, timeout=10**7,
        parameters={"mine": "said", "number": 3},
    )  # fmt: skip
    response = result.get_response()
    assert result.as_numpy("y").tolist() == (X + 2).tolist()
    assert (response.id, response.model_name, response.model_version) == ("7", "versioned", "2")
    assert client.infer("versioned", [tensor("x", X)]).get_response().model_version == "10"
    x = np.array([[0.1, 0.2, 0.7], [0.6, 0.3, 0.1]], np.float32)
    top = client.infer("scores", [tensor("x", x)], outputs=[Wanted("y", class_count=2)]).as_numpy("y")
    assert [[e.split(b":")[1:] for e in row] for row in top] == [
        [[b"2", b"bird"], [b"1", b"dog"]], [[b"0", b"cat"], [b"1", b"dog"]],
    ]  # fmt: skip
    assert client.infer("defaults", [tensor("x", X)]).as_numpy("y").tolist() == [6.5, 3.0]


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compression(client: Any, algorithm: str) -> None:
    x = np.random.default_rng(0).integers(0, 9, (200, 50)).astype(np.float32)
    result = client.infer("same_FP32", [tensor("x", x)], compression_algorithm=algorithm)
    np.testing.assert_array_equal(result.as_numpy("y"), x)


def test_a_large_message(client: Any) -> None:
    """Beyond gRPC's own limit of 4 MiB and HTTP/2's windows, both ways."""
    x = np.random.default_rng(0).standard_normal((1000, 4000)).astype(np.float32)
    np.testing.assert_array_equal(client.infer("same_FP32", [tensor("x", x)]).as_numpy("y"), x)


@pytest.mark.slow
def test_a_very_large_message(client: Any) -> None:
    x = np.ones((500, 1 << 20), np.uint8)
    assert (client.infer("same_UINT8", [tensor("x", x, "UINT8")]).as_numpy("y") == x).all()


@pytest.mark.parametrize(
    ("model", "array", "datatype", "status", "message"),
    [
        ("nope", X, "FP32", "NOT_FOUND", "unknown model: 'nope'"),
        ("versioned", X.astype(np.int32), "INT32", "INVALID_ARGUMENT", "datatype INT32, expected FP32"),
        ("versioned", X.reshape(1, 2), "FP32", "INVALID_ARGUMENT", r"shape \[1,2\], expected \[-1\]"),
    ],
)
def test_wrong_requests(client: Any, model: str, array: Array, datatype: str, status: str, message: str) -> None:
    with pytest.raises(triton.InferenceServerException, match=message) as raised:
        client.infer(model, [tensor("x", array, datatype)])
    assert raised.value.status() == f"StatusCode.{status}"


def test_a_deadline(client: Any, held: Held) -> None:
    """Of two that wait behind a long run, one cannot wait so long; the server is well afterwards."""
    answers: queue.Queue[tuple[str, Any]] = queue.Queue()
    long = tensor("x", held.input, "BYTES")
    client.async_infer("held", [long], lambda result, error: answers.put(("first", error)))
    with pytest.raises(triton.InferenceServerException) as raised:
        client.infer("held", [long], client_timeout=0.05)
    assert raised.value.status() == "StatusCode.DEADLINE_EXCEEDED"
    with pytest.raises(triton.InferenceServerException) as raised:
        client.infer("held", [long], timeout=1)  # microseconds, as a parameter of the request: the server's own word
    assert raised.value.status() == "StatusCode.DEADLINE_EXCEEDED"
    held.let_go()
    assert answers.get(timeout=WAIT_S) == ("first", None)
    assert client.infer("held", [long]).as_numpy("y").tolist() == held.input.tolist()


def test_many_at_once_and_one_that_is_cancelled(client: Any, held: Held) -> None:
    answers: queue.Queue[tuple[int, Any, Any]] = queue.Queue()

    def send(i: int, model: str, *rest: Any) -> Any:
        return client.async_infer(model, [tensor("x", *rest)], lambda result, error: answers.put((i, result, error)))

    send(-1, "held", held.input, "BYTES")
    send(-2, "held", held.input, "BYTES").cancel()
    arrays = [np.full((i % 4 + 1, 3), i, np.float32) for i in range(100)]
    for i, array in enumerate(arrays):
        send(i, "same_FP32", array)
    got = {i: (result, error) for i, result, error in (answers.get(timeout=WAIT_S) for _ in range(101))}
    assert got[-2][0] is None and got[-2][1].status() == "StatusCode.CANCELLED" and -1 not in got
    assert all((got[i][0].as_numpy("y") == a).all() for i, a in enumerate(arrays))
    held.let_go()
    assert answers.get(timeout=WAIT_S)[::2] == (-1, None)


def test_health_and_descriptions(client: Any) -> None:
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("versioned") and client.is_model_ready("versioned", "2")
    assert not client.is_model_ready("versioned", "3") and not client.is_model_ready("nope")
    found = client.get_server_metadata(as_json=True)
    assert found["name"] == "gantline" and "system_shared_memory" in found["extensions"]
    found = client.get_model_metadata("scores", as_json=True)
    assert found["inputs"] == [{"name": "x", "datatype": "FP32", "shape": ["-1", "3"]}]
    assert client.get_model_metadata("versioned").versions == ["1", "2", "10"]
    config = client.get_model_config("scores").config
    assert (config.max_batch_size, config.output[0].label_filename) == (16, "labels.txt")
    before = client.get_inference_statistics("scores").model_stats[0].inference_stats.success.count
    client.infer("scores", [tensor("x", np.zeros((1, 3), np.float32))])
    (model,) = client.get_inference_statistics("scores", "1", as_json=True)["model_stats"]
    assert int(model["inference_stats"]["success"]["count"]) == before + 1
    with pytest.raises(triton.InferenceServerException, match="not found"):
        client.get_model_config("nope")


def test_index_load_and_unload(own_client: Any) -> None:
    assert {m.name for m in own_client.get_model_repository_index().models} == {"fixed", "versioned"}
    own_client.unload_model("versioned")
    assert not own_client.is_model_ready("versioned")
    with pytest.raises(triton.InferenceServerException, match="versioned") as raised:
        own_client.infer("versioned", [tensor("x", X)])
    assert raised.value.status() == "StatusCode.UNAVAILABLE"
    own_client.load_model("versioned")
    assert own_client.infer("versioned", [tensor("x", X)]).as_numpy("y").tolist() == (X + 10).tolist()
    with pytest.raises(triton.InferenceServerException) as raised:
        own_client.load_model("nope")
    assert raised.value.status() == "StatusCode.NOT_FOUND"


def test_settings(client: Any) -> None:
    assert client.get_trace_settings(as_json=True)["settings"]["trace_level"] == {"value": ["OFF"]}
    client.update_trace_settings("versioned", {"trace_rate": "7"})
    assert client.get_trace_settings("versioned").settings["trace_rate"].value == ["7"]
    client.update_trace_settings("versioned", {"trace_rate": None})
    assert client.get_trace_settings("versioned").settings["trace_rate"].value == ["1000"]
    changed = client.update_log_settings({"log_verbose_level": 1, "log_format": "ISO8601"})
    assert changed.settings["log_verbose_level"].uint32_param == 1
    client.update_log_settings({"log_verbose_level": 0, "log_format": "default"})
    assert client.get_log_settings().settings["log_format"].string_param == "default"


def test_shared_memory(client: Any) -> None:
    shared = pytest.importorskip("tritonclient.utils.shared_memory")
    key = f"/gantline-grpc-{os.getpid()}"
    region = shared.create_shared_memory_region("r", key, 16)
    try:
        client.unregister_cuda_shared_memory()  # as perf_analyzer begins
        client.register_system_shared_memory("r", key, 16)
        assert client.get_system_shared_memory_status().regions["r"].byte_size == 16
        shared.set_shared_memory_region(region, [X])
        sent, wanted = InferInput("x", [2], "FP32"), Wanted("y")
        sent.set_shared_memory("r", 8)
        wanted.set_shared_memory("r", 8, offset=8)
        result = client.infer("versioned", [sent], model_version="1", outputs=[wanted])
        assert result.get_output("y").parameters["shared_memory_region"].string_param == "r"
        assert shared.get_contents_as_numpy(region, np.float32, [2], offset=8).tolist() == (X + 1).tolist()
        client.unregister_system_shared_memory("r")
        assert not client.get_system_shared_memory_status().regions
    finally:
        shared.destroy_shared_memory_region(region)


def test_other_services(grpc_address: str) -> None:
    """Health and reflection, by bytes: the stubs of these are other packages' business."""
    with grpc.insecure_channel(grpc_address) as channel:
        assert channel.unary_unary("/grpc.health.v1.Health/Check")(b"") == b"\x08\x01"
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"")
        assert next(watch) == b"\x08\x01"
        watch.cancel()
        for version in ("v1", "v1alpha"):
            ask = channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")
            (answer,) = ask(iter([b"\x3a\x00"]))
            assert b"inference.GRPCInferenceService" in answer
        with pytest.raises(grpc.RpcError) as raised:
            channel.unary_unary("/inference.GRPCInferenceService/Nothing")(b"")
        assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
