"""What gRPC clients ask beside inference, by the messages themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from gantline.serve.rpc.gate import SERVICE
from gantline.serve.rpc.statuses import Code

import gantline
from gantline.pb import message
from gantline.tensors import Array

if TYPE_CHECKING:
    from tests.serve.rpc.conftest import Rpc


def request(kind: str, /, **fields: Any) -> Any:
    return message(f"inference.{kind}Request")(**fields)


def ask(rpc: Rpc, method: str, /, **fields: Any) -> Any:
    answer = rpc.ask(f"/{SERVICE}/{method}", request(method, **fields))
    return message(f"inference.{method}Response").FromString(answer)


def refused(rpc: Rpc, method: str, found: Any) -> tuple[int, str]:
    return rpc.refused(f"/{SERVICE}/{method}", found)


def test_the_server(rpc: Rpc) -> None:
    assert ask(rpc, "ServerLive").live and ask(rpc, "ServerReady").ready
    found = ask(rpc, "ServerMetadata")
    assert (found.name, found.version) == ("gantline", gantline.__version__) and "statistics" in found.extensions


def test_a_lame_duck_is_live_but_not_ready(own_rpc: Callable[..., Rpc], zoo: Path) -> None:
    rpc = own_rpc(zoo / "double.onnx")
    rpc.server.on_loop(rpc.server.stack.drain)
    assert ask(rpc, "ServerLive").live and not ask(rpc, "ServerReady").ready


def test_models(rpc: Rpc) -> None:
    assert ask(rpc, "ModelReady", name="double").ready and ask(rpc, "ModelReady", name="double", version="1").ready
    assert not ask(rpc, "ModelReady", name="nope").ready
    assert not ask(rpc, "ModelReady", name="double", version="2").ready
    found = ask(rpc, "ModelMetadata", name="double")
    assert (found.name, list(found.versions), found.platform) == ("double", ["1"], "onnxruntime_onnx")
    assert [(t.name, t.datatype, list(t.shape)) for t in found.inputs] == [("x", "FP32", [-1, 3])]
    assert [(t.name, t.datatype, list(t.shape)) for t in found.outputs] == [("y", "FP32", [-1, 3])]
    config = ask(rpc, "ModelConfig", name="double").config
    assert (config.name, config.backend, config.max_batch_size) == ("double", "onnxruntime", 64)
    assert [(i.name, list(i.dims)) for i in config.input] == [("x", [3])] and config.HasField("dynamic_batching")


def test_statistics(rpc: Rpc, asked: Callable[..., Any], row: Array) -> None:
    before = ask(rpc, "ModelStatistics", name="centre").model_stats[0]
    for _ in range(3):
        rpc.ask(f"/{SERVICE}/ModelInfer", asked("centre", row[0]))
    (after,) = ask(rpc, "ModelStatistics", name="centre", version="1").model_stats
    assert after.inference_stats.success.count == before.inference_stats.success.count + 3
    assert after.execution_count >= before.execution_count + 1 and after.last_inference > 0
    assert {m.name for m in ask(rpc, "ModelStatistics").model_stats} > {"double", "centre"}


@pytest.mark.parametrize("method", ["ModelMetadata", "ModelConfig", "ModelStatistics"])
def test_models_that_are_not_there(rpc: Rpc, method: str) -> None:
    code, details = refused(rpc, method, request(method, name="nope"))
    assert (code, details) == (Code.NOT_FOUND, "Request for unknown model: 'nope' is not found")
    code, details = refused(rpc, method, request(method, name="double", version="7"))
    assert (code, details) == (Code.NOT_FOUND, "Request for unknown model: 'double' version 7 is not found")


def test_unload_and_load(own_rpc: Callable[..., Rpc], zoo: Path) -> None:
    rpc = own_rpc(zoo / "double.onnx")
    assert [(m.name, m.version, m.state) for m in ask(rpc, "RepositoryIndex").models] == [("double", "1", "READY")]
    ask(rpc, "RepositoryModelUnload", model_name="double")
    assert not ask(rpc, "ModelReady", name="double").ready
    (row,) = ask(rpc, "RepositoryIndex").models
    assert (row.name, row.state, row.reason) == ("double", "UNAVAILABLE", "unloaded")
    assert not ask(rpc, "RepositoryIndex", ready=True).models
    assert refused(rpc, "ModelConfig", request("ModelConfig", name="double"))[0] == Code.UNAVAILABLE
    ask(rpc, "RepositoryModelLoad", model_name="double")
    assert ask(rpc, "ModelReady", name="double").ready


def test_a_model_without_a_name_is_none(own_rpc: Callable[..., Rpc], zoo: Path, asked: Any, row: Array) -> None:
    """Not all of them, as where the server looks for models at start."""
    rpc = own_rpc(zoo / "double.onnx")
    for word in ("load", "unload"):
        method = f"RepositoryModel{word.capitalize()}"
        code, details = refused(rpc, method, request(method))
        assert (code, details) == (Code.NOT_FOUND, f"failed to {word} '', it is not in the repository")
    load = request("RepositoryModelLoad")
    load.parameters["config"].string_param = "{}"
    load.parameters["file:1/model.onnx"].bytes_param = b""
    assert refused(rpc, "RepositoryModelLoad", load)[0] == Code.NOT_FOUND
    rpc.ask(f"/{SERVICE}/ModelInfer", asked("double", row))


def test_what_a_repository_does_not_do(rpc: Rpc) -> None:
    load = request("RepositoryModelLoad", model_name="nope")
    assert refused(rpc, "RepositoryModelLoad", load)[0] == Code.NOT_FOUND
    unload = request("RepositoryModelUnload", model_name="nope")
    assert refused(rpc, "RepositoryModelUnload", unload)[0] == Code.NOT_FOUND
    load = request("RepositoryModelLoad", model_name="double")
    load.parameters["config"].int64_param = 5
    assert refused(rpc, "RepositoryModelLoad", load) == (
        Code.INVALID_ARGUMENT, "load of 'double': parameter 'config' must be a string of JSON",
    )  # fmt: skip
    load = request("RepositoryModelLoad", model_name="double")
    load.parameters["file:1/model.onnx"].string_param = "x"
    assert refused(rpc, "RepositoryModelLoad", load)[0] == Code.INVALID_ARGUMENT
    load = request("RepositoryModelLoad", model_name="double")
    load.parameters["color"].bool_param = True
    assert refused(rpc, "RepositoryModelLoad", load)[0] == Code.UNIMPLEMENTED
    for method in ("RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload"):
        code, details = refused(rpc, method, request(method, repository_name="other"))
        assert code == Code.UNIMPLEMENTED and "repository 'other'" in details
