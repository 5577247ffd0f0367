"""A raw grpc.aio echo: the ceiling of one grpcio server process. `python grpc_echo.py PORT`"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc
import grpc.aio
import uvloop


class Echo:
    """Answers any method with the bytes that came."""

    def __init__(self) -> None:
        self.handler = grpc.unary_unary_rpc_method_handler(self.answer)

    def service(self, details: Any) -> Any:
        return self.handler

    async def answer(self, data: bytes, context: Any) -> bytes:
        return data


async def main() -> None:
    server = grpc.aio.server()
    handler: Any = Echo()
    server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
