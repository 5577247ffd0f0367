"""The table of a gRPC port: every method of every service that reflection names, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gantline.serve.rpc.reflection import SERVICES

from gantline.pb import pool

if TYPE_CHECKING:
    from tests.serve.rpc.conftest import Rpc


def test_every_method_is_in_its_table(rpc: Rpc) -> None:
    wanted: dict[bool, set[bytes]] = {False: set(), True: set()}
    for name in SERVICES:
        for method in pool().FindServiceByName(name).methods:
            streamed = method.client_streaming or method.server_streaming
            wanted[streamed].add(f"/{name}/{method.name}".encode())
    assert set(rpc.service.methods.unary) == wanted[False]
    assert set(rpc.service.methods.streaming) == wanted[True]


def test_there_is_one_service_a_server(rpc: Rpc) -> None:
    assert rpc.server.on_loop(rpc.server.stack.service) is rpc.service
