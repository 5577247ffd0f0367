"""What model.py of Triton's python backend imports: names and behaviour as its README tells them."""

from __future__ import annotations

import numpy as np
import pytest
from gantline.accelerators.script import shim_triton as pb_utils


def test_tensors_and_types() -> None:
    tensor = pb_utils.Tensor("x", np.ones((2, 3), np.float32))
    assert (tensor.name(), tensor.shape(), tensor.triton_dtype(), tensor.is_cpu()) == ("x", [2, 3], "FP32", True)
    same = pb_utils.Tensor.from_dlpack("y", tensor)
    assert np.shares_memory(same.as_numpy(), tensor.as_numpy())
    for name in ("BOOL", "UINT8", "INT64", "FP16", "FP64"):
        assert pb_utils.np_to_triton_dtype(pb_utils.triton_string_to_numpy(f"TYPE_{name}")) == name
    assert pb_utils.triton_string_to_numpy("TYPE_STRING") is np.object_
    with pytest.raises(pb_utils.TritonModelException, match="expected a numpy array, got list"):
        pb_utils.Tensor("x", [1])  # type: ignore[arg-type]


def test_requests_and_responses() -> None:
    request = pb_utils.InferenceRequest([pb_utils.Tensor("x", np.zeros(1))], ["y"])
    assert pb_utils.get_input_tensor_by_name(request, "x") is request.inputs()[0]
    assert pb_utils.get_input_tensor_by_name(request, "z") is None and request.requested_output_names() == ["y"]
    with pytest.raises(pb_utils.TritonModelException, match="not decoupled"):
        request.get_response_sender()
    failed = pb_utils.InferenceResponse(error=pb_utils.TritonError("no", pb_utils.TritonError.INVALID_ARG))
    error = failed.error()
    assert failed.has_error() and error is not None and (error.message(), error.code()) == ("no", 3)
    assert pb_utils.get_output_tensor_by_name(pb_utils.InferenceResponse(request.inputs()), "x") is not None


def test_a_sender_says_when_it_is_done() -> None:
    sent: list[tuple[object, int]] = []
    sender = pb_utils.InferenceRequest([], send=lambda r, f: sent.append((r, f))).get_response_sender()
    response = pb_utils.InferenceResponse()
    sender.send(response)
    sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
    assert sent == [(response, 0), (None, 1)] and not sender.is_cancelled()
    with pytest.raises(pb_utils.TritonModelException, match="COMPLETE_FINAL"):
        sender.send()


def test_configurations() -> None:
    config = {"input": [{"name": "a"}], "output": [{"name": "b"}], "model_transaction_policy": {"decoupled": True}}
    assert pb_utils.get_input_config_by_name(config, "a") == {"name": "a"}
    assert pb_utils.get_output_config_by_name(config, "b") == {"name": "b"}
    assert pb_utils.get_output_config_by_name(config, "a") is None
    assert pb_utils.using_decoupled_model_transaction_policy(config)


def test_bytes_tensors_come_back() -> None:
    words = np.array([b"one", "zwei", b""], object)
    packed = pb_utils.serialize_byte_tensor(words)
    assert packed is not None and pb_utils.deserialize_bytes_tensor(packed.item()).tolist() == [b"one", b"zwei", b""]
    assert pb_utils.serialize_byte_tensor(np.array([], object)) is None
