"""The protobuf messages of proto/*.proto, in a descriptor pool of our own.

A private pool, because tritonclient and kserve register the same names in protobuf's default pool, and two files with
one symbol in one pool is an error. gantline.binpb is made by `make proto`; protobuf itself is imported at first use.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

DESCRIPTORS = Path(__file__).with_name("gantline.binpb")


@cache
def pool() -> Any:
    """The DescriptorPool with our files; services are found in it too."""
    from google.protobuf import descriptor_pb2, descriptor_pool

    files = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())
    found = descriptor_pool.DescriptorPool()
    for file in files.file:  # protoc writes dependencies first
        found.Add(file)
    return found


@cache
def message(name: str) -> Any:
    """The class of a message by its full name: `message("inference.ModelInferRequest")`. KeyError if unknown."""
    from google.protobuf import message_factory

    return message_factory.GetMessageClass(pool().FindMessageTypeByName(name))
