"""Server reflection: a client that knows nothing can rebuild every message from the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from gantline.serve.rpc.gate import REFLECTION as PACKAGES
from gantline.serve.rpc.reflection import SERVICES
from gantline.serve.rpc.statuses import Code

from gantline.pb import message, pool

if TYPE_CHECKING:
    from tests.serve.rpc.conftest import Rpc


def ask(rpc: Rpc, package: str, **fields: Any) -> Any:
    talk = rpc.open(f"/{package}.ServerReflection/ServerReflectionInfo")
    talk.put(message(f"{package}.ServerReflectionRequest")(host="h", **fields))
    talk.half_close()
    (answer,) = talk.rest()
    assert talk.status == (0, "")
    found = message(f"{package}.ServerReflectionResponse").FromString(answer)
    assert found.valid_host == "h" and found.original_request.host == "h"
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_services_and_their_files(rpc: Rpc, package: str) -> None:
    from google.protobuf import descriptor_pb2, descriptor_pool

    listed = [s.name for s in ask(rpc, package, list_services="").list_services_response.service]
    assert listed == list(SERVICES) and all(pool().FindServiceByName(name) for name in listed)
    for name in listed:
        answer = ask(rpc, package, file_containing_symbol=name).file_descriptor_response
        fresh = descriptor_pool.DescriptorPool()
        for data in reversed(answer.file_descriptor_proto):  # what is imported comes after what imports it
            fresh.Add(descriptor_pb2.FileDescriptorProto.FromString(data))
        ours, theirs = pool().FindServiceByName(name), fresh.FindServiceByName(name)
        assert [m.full_name for m in theirs.methods] == [m.full_name for m in ours.methods]
    answer = ask(rpc, package, file_by_filename="grpc_service.proto").file_descriptor_response
    assert len(answer.file_descriptor_proto) == 2


@pytest.mark.parametrize("package", PACKAGES)
def test_what_there_is_not(rpc: Rpc, package: str) -> None:
    extension = message(f"{package}.ExtensionRequest")(
        containing_type="inference.ModelInferRequest", extension_number=1
    )
    for fields, says in (
        ({"file_containing_symbol": "inference.Nothing"}, "symbol 'inference.Nothing' is unknown"),
        ({"file_by_filename": "nothing.proto"}, "file 'nothing.proto' is unknown"),
        ({"all_extension_numbers_of_type": "inference.Nothing"}, "symbol 'inference.Nothing' is unknown"),
        ({"file_containing_extension": extension}, "there are no extensions"),
        ({}, "the request asks nothing"),
    ):
        error = ask(rpc, package, **fields).error_response
        assert (error.error_code, error.error_message) == (Code.NOT_FOUND, says)
    found = ask(rpc, package, all_extension_numbers_of_type="inference.ModelInferRequest")
    assert found.all_extension_numbers_response.base_type_name == "inference.ModelInferRequest"


def test_a_question_that_is_none(rpc: Rpc) -> None:
    talk = rpc.open(f"/{PACKAGES[0]}.ServerReflection/ServerReflectionInfo")
    talk.put(b"\xff")
    assert talk.rest() == [] and talk.status is not None and talk.status[0] == Code.INVALID_ARGUMENT
