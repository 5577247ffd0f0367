"""Our protobuf descriptors: built from proto/, equal to what tritonclient speaks, and living beside it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gantline.pb import DESCRIPTORS, message, pool

ROOT = Path(__file__).parents[2]
PROTOS = sorted((ROOT / "proto").glob("*.proto"))
FILES = ["model_config.proto", "grpc_service.proto", "health.proto", "reflection.proto", "reflection_v1alpha.proto"]


def test_committed_bytes_come_from_the_proto_files(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools")
    out = tmp_path / "set.binpb"
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I", str(ROOT / "proto"), "--include_imports"]
    subprocess.run([*command, f"--descriptor_set_out={out}", *map(str, PROTOS)], check=True)
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    made, kept = (FileDescriptorSet.FromString(p.read_bytes()) for p in (out, DESCRIPTORS))
    assert made == kept, "proto/ changed: run `make proto`"
    assert [f.name for f in made.file] == FILES


def test_a_request_survives_the_wire() -> None:
    request = message("inference.ModelInferRequest")(model_name="m")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    request.parameters["timeout"].int64_param = 5
    request.raw_input_contents.append(b"\0" * 8)
    back = message("inference.ModelInferRequest").FromString(request.SerializeToString())
    assert back == request and back.parameters["timeout"].int64_param == 5
    check = message("grpc.health.v1.HealthCheckResponse")(status=1)
    assert check.SerializeToString() == b"\x08\x01"


def test_unknown_message() -> None:
    with pytest.raises(KeyError):
        message("inference.Nothing")


def test_importing_it_does_not_import_protobuf() -> None:
    code = "import sys, gantline.pb; sys.exit('google.protobuf' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# A foreign client in a process of its own: its generated code sets up protobuf's default pool.
COMPARE = """
import sys
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc
from gantline.pb import message, pool

def fields(d):
    return {f.number: (f.name, f.type, f.is_repeated, f.containing_oneof and f.containing_oneof.name,
            f.message_type and f.message_type.full_name, f.enum_type and f.enum_type.full_name,
            f.has_presence) for f in d.fields}
def enums(d):
    return {e.full_name: {v.number: v.name for v in e.values} for e in d}
def compare(theirs):
    ours = pool().FindMessageTypeByName(theirs.full_name)
    assert fields(ours) == fields(theirs), theirs.full_name
    assert enums(ours.enum_types) == enums(theirs.enum_types), theirs.full_name
    assert ours.GetOptions().map_entry == theirs.GetOptions().map_entry, theirs.full_name
    return 1 + sum(compare(n) for n in theirs.nested_types)

count = 0
for file in (model_config_pb2.DESCRIPTOR, service_pb2.DESCRIPTOR):
    ours = pool().FindFileByName(file.name)
    assert set(ours.message_types_by_name) == set(file.message_types_by_name)
    count += sum(map(compare, file.message_types_by_name.values()))
    assert enums(ours.enum_types_by_name.values()) == enums(file.enum_types_by_name.values())
    for service in file.services_by_name.values():
        mine = pool().FindServiceByName(service.full_name)
        shape = lambda s: {(m.name, m.input_type.full_name, m.output_type.full_name, m.client_streaming,
                            m.server_streaming) for m in s.methods}
        assert shape(mine) == shape(service)
Ours = message("inference.ModelInferRequest")
theirs = service_pb2.ModelInferRequest(model_name="m", id="7")
theirs.inputs.add(name="x", datatype="BF16", shape=[2])
theirs.parameters["priority"].uint64_param = 3
ours = Ours.FromString(theirs.SerializeToString())
assert type(ours) is not type(theirs) and ours.SerializeToString() == theirs.SerializeToString()
assert ours.parameters["priority"].uint64_param == 3
print(count)
"""


def test_equal_to_tritonclient_and_beside_it_in_one_process() -> None:
    pytest.importorskip("tritonclient.utils")
    pytest.importorskip("grpc")
    done = subprocess.run([sys.executable, "-c", COMPARE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100  # messages compared


def test_every_message_field_is_reachable() -> None:
    def check(descriptor: Any) -> int:
        assert message(descriptor.full_name).DESCRIPTOR is descriptor
        return 1 + sum(map(check, (n for n in descriptor.nested_types if not n.GetOptions().map_entry)))

    files = [pool().FindFileByName(n).message_types_by_name.values() for n in FILES]
    assert sum(check(d) for group in files for d in group) > 100
