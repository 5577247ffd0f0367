"""V2's generate face: plain JSON in, one answer or a stream of events out (wire contract: Triton's HTTP server)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from concurrent.futures import Executor
from contextlib import aclosing
from functools import partial
from urllib.parse import unquote

from starlette.routing import Route

from gantline.errors import BadRequest, EngineFailed, GantlineError, NotFound
from gantline.request import Request
from gantline.wire.generate import decode_generate, encode_generate

from ..admission import Hold
from ..core import Core
from ..exchange import Head, Headers, Responder
from ..fronts.asgi import Endpoint
from ..model import Model
from ..repository import Repository
from ..standby import loaded
from ..statuses import JSON, v2_error
from ..streaming import answers

_EVENTS: Headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
_LARGE = 256 << 10  # bytes; larger bodies are decoded on a thread
_log = logging.getLogger("gantline.http")


class GenerateRoutes:
    """.../generate, which wants exactly one answer, and .../generate_stream, which takes any number as events."""

    def __init__(self, repository: Repository, core: Core, max_body: int, pool: Executor) -> None:
        self._repository = repository
        self._core = core
        self._max_body = max_body
        self._pool = pool
        self._tasks: set[asyncio.Task[None]] = set()

    def routes(self) -> list[Route]:
        once, stream = Endpoint(self.once, self._max_body), Endpoint(self.stream, self._max_body)
        table = []
        for base in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
            table.append(Route(base + "/generate", once, methods=["POST"]))
            table.append(Route(base + "/generate_stream", stream, methods=["POST"]))
        return table

    def once(self, head: Head, body: bytes, responder: Responder) -> None:
        """Answer with the model's only answer."""
        self._begin(head, body, responder, False)

    def stream(self, head: Head, body: bytes, responder: Responder) -> None:
        """Answer with an event for each of the model's answers."""
        self._begin(head, body, responder, True)

    def _begin(self, head: Head, body: bytes, responder: Responder, events: bool) -> None:
        task = asyncio.ensure_future(self._run(head, body, responder, events))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        responder.on_close(lambda: _stop(task))

    async def _run(self, head: Head, body: bytes, responder: Responder, events: bool) -> None:
        """The whole exchange. An error before the first event has its status; after it, it is an event."""
        started = False
        mark: Headers = []  # of the model that answers, once it is known
        error: GantlineError | None = None
        try:
            async with aclosing(self._answers(head, body, mark)) as found:
                if not events:
                    answer = await _only(found)
                    responder.send(200, [JSON, *mark], answer)
                    return
                async for answer in found:
                    if not started:
                        started = True
                        responder.start(200, [*_EVENTS, *mark])
                    responder.chunk(b"data: " + answer + b"\n\n")
                    await responder.drain()
        except GantlineError as e:
            error = e.with_traceback(None)
        except Exception:
            _log.exception("%s", head.path.decode("latin-1"))
            error = EngineFailed("internal error; see the server's log")
        if error is not None:
            status, text = v2_error(error)
            if not started:
                responder.send(status, [JSON, *mark], text)
                return
            responder.chunk(b"data: " + text + b"\n\n")
        elif not started:
            responder.start(200, [*_EVENTS, *mark])  # a model that had nothing to say
        responder.end()

    async def _answers(self, head: Head, body: bytes, mark: Headers) -> AsyncGenerator[bytes, None]:
        hold: Hold | None = None
        try:
            try:
                hold = self._core.budget.hold(len(body))
                model = await loaded(partial(self._find, head))
                request = await self._decode(head, body, model)
                model = await loaded(partial(self._find, head))  # by now another may be in its place, or none
                mark += model.mark
            except GantlineError as e:
                self._repository.ledger.refused(e)
                raise
            async with aclosing(answers(self._core, model, request, head)) as found:
                async for outputs in found:
                    yield encode_generate(request.model, request.version, request.id, outputs)
        finally:
            if hold is not None:
                hold.free()

    def _find(self, head: Head) -> Model:
        parts = [unquote(p) for p in head.path.decode("ascii", "replace").strip("/").split("/")]
        version = parts[4] if len(parts) == 6 else ""
        if version and not (version.isascii() and version.isdigit()):
            raise NotFound("Not Found")
        return self._repository.find(parts[2], version)

    async def _decode(self, head: Head, body: bytes, model: Model) -> Request:
        if (head.get(b"content-encoding") or b"identity").lower() != b"identity":
            raise BadRequest("a generate request cannot be compressed")
        if len(body) <= _LARGE:
            return decode_generate(body, model.signature)
        return await asyncio.get_running_loop().run_in_executor(self._pool, decode_generate, body, model.signature)


async def _only(found: AsyncGenerator[bytes, None]) -> bytes:
    """The one answer. BadRequest when there are none, or more."""
    first = await anext(found, None)
    if first is None or await anext(found, None) is not None:
        raise BadRequest(
            "generate expects the model to give exactly 1 answer; use generate_stream for one that gives any number"
        )
    return first


def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
