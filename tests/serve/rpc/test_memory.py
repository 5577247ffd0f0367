"""Shared memory by gRPC: regions come and go, tensors pass through them, and without permission there is none."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from gantline.serve.rpc.gate import SERVICE
from gantline.serve.rpc.statuses import Code

from gantline.pb import message

if TYPE_CHECKING:
    from tests.serve.rpc.conftest import Rpc

KEY = f"gantline-test-{os.getpid()}"
FILE = Path("/dev/shm") / KEY


@pytest.fixture
def memory() -> Iterator[Path]:
    FILE.write_bytes(np.array([[1, 2, 3]], np.float32).tobytes() + bytes(12))
    yield FILE
    FILE.unlink()


def request(kind: str, /, **fields: Any) -> Any:
    return message(f"inference.{kind}Request")(**fields)


def ask(rpc: Rpc, method: str, /, **fields: Any) -> Any:
    return message(f"inference.{method}Response").FromString(rpc.ask(f"/{SERVICE}/{method}", request(method, **fields)))


def test_tensors_through_a_region(own_rpc: Callable[..., Rpc], zoo: Path, memory: Path) -> None:
    rpc = own_rpc(zoo / "double.onnx", allow_shared_memory="true")
    ask(rpc, "SystemSharedMemoryRegister", name="r", key=KEY, offset=0, byte_size=24)
    region = ask(rpc, "SystemSharedMemoryStatus", name="r").regions["r"]
    assert (region.name, region.key, region.offset, region.byte_size) == ("r", KEY, 0, 24)
    sent = request("ModelInfer", model_name="double")
    tensors = (sent.inputs.add(name="x", datatype="FP32", shape=[1, 3]), 0), (sent.outputs.add(name="y"), 12)
    for tensor, offset in tensors:
        tensor.parameters["shared_memory_region"].string_param = "r"
        tensor.parameters["shared_memory_byte_size"].int64_param = 12
        tensor.parameters["shared_memory_offset"].int64_param = offset
    answer = message("inference.ModelInferResponse").FromString(rpc.ask(f"/{SERVICE}/ModelInfer", sent))
    assert list(answer.raw_output_contents) == [b""]
    assert np.frombuffer(memory.read_bytes(), np.float32).tolist() == [1, 2, 3, 2, 4, 6]
    ask(rpc, "SystemSharedMemoryUnregister", name="r")
    assert not ask(rpc, "SystemSharedMemoryStatus").regions
    assert rpc.refused(f"/{SERVICE}/ModelInfer", sent) == (
        Code.NOT_FOUND, "Unable to find shared memory region: 'r'",
    )  # fmt: skip


def test_it_is_off_unless_allowed(rpc: Rpc) -> None:
    wrong = request("SystemSharedMemoryRegister", name="r", key=KEY, byte_size=24)
    code, details = rpc.refused(f"/{SERVICE}/SystemSharedMemoryRegister", wrong)
    assert code == Code.UNIMPLEMENTED and "--allow-shared-memory" in details
    assert not ask(rpc, "SystemSharedMemoryStatus").regions
    code, _ = rpc.refused(f"/{SERVICE}/SystemSharedMemoryStatus", request("SystemSharedMemoryStatus", name="r"))
    assert code == Code.NOT_FOUND


def test_there_is_no_cuda_memory_and_tidying_up_is_no_error(rpc: Rpc) -> None:
    assert not ask(rpc, "CudaSharedMemoryStatus").regions
    ask(rpc, "CudaSharedMemoryUnregister", name="r")
    ask(rpc, "CudaSharedMemoryUnregister")
    code, details = rpc.refused(f"/{SERVICE}/CudaSharedMemoryRegister", request("CudaSharedMemoryRegister", name="r"))
    assert code == Code.UNIMPLEMENTED and "use system shared memory" in details
