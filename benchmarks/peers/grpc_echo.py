"""A bare gRPC server whose ModelInfer gives back the bytes it took. `python grpc_echo.py PORT aio|sync`"""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc


async def answer_async(request, context):
    return request


def answer(request, context):
    return request


def prepare(server, method):
    handlers = {"ModelInfer": grpc.unary_unary_rpc_method_handler(method)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers),))
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    return server


async def main():
    server = prepare(grpc.aio.server(), answer_async)
    await server.start()
    await server.wait_for_termination()


if sys.argv[2] == "aio":
    asyncio.run(main())
else:
    server = prepare(grpc.server(ThreadPoolExecutor(10)), answer)
    server.start()
    server.wait_for_termination()
