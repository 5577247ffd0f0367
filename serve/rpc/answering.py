"""Answering: makes gRPC methods of coroutines that take a message and give one. For all but the hot path."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeAlias

from gantline.errors import BadRequest, EngineFailed, GantlineError
from gantline.pb import message

from ..exchange import Headers
from .call import Call, Unary
from .gate import Permit
from .statuses import pushback, refusal

# takes a protobuf message and gives one, or a Marked; GantlineError becomes the call's status
Answer: TypeAlias = Callable[[Any], Awaitable[Any]]
_log = logging.getLogger("gantline.grpc")


class Marked(NamedTuple):
    """A message, and the trailers of all that its model answers."""

    message: Any
    mark: Headers


_running: set[asyncio.Task[None]] = set()  # asyncio itself keeps only weak references


def unary(request: str, answer: Answer, permit: Permit | None = None) -> Unary:
    """A method of one message each way. `request` is the full name of the message that it takes."""

    def method(call: Call, data: bytes) -> None:
        task = asyncio.ensure_future(_answer(call, request, data, answer, permit))
        _running.add(task)
        task.add_done_callback(_running.discard)

    return method


def parse(kind: str, data: bytes) -> Any:
    """A protobuf message by its full name. BadRequest if the bytes are not one."""
    from google.protobuf.message import DecodeError

    try:
        return message(kind).FromString(data)
    except DecodeError as e:
        raise BadRequest(f"the message is no {kind}: {' '.join(str(e).split())}") from e


def refuse(call: Call, error: GantlineError, mark: Headers | None = None) -> None:
    """End a call with what went wrong. `mark`: the trailers of all that the model answers."""
    code, details = refusal(error)
    trailers = pushback(error)
    call.finish(code, details, [*(trailers or ()), *mark] if mark else trailers)


def broken(what: str, error: BaseException | None) -> EngineFailed:
    """A fault of ours: the traceback goes to the log, and this to the client."""
    _log.error(what, exc_info=error)
    return EngineFailed(f"{what}; see the server's log")


async def _answer(call: Call, kind: str, data: bytes, answer: Answer, permit: Permit | None) -> None:
    try:
        request = parse(kind, data)
        if permit is not None:
            permit(call.head, request)
        found = await answer(request)
        found, mark = found if isinstance(found, Marked) else (found, None)
        call.send(found.SerializeToString())
        call.finish(0, "", mark)
    except GantlineError as e:
        refuse(call, e)
    except Exception as e:
        refuse(call, broken(f"{call.head.path.decode()} failed", e))
