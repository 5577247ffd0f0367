"""The Azure face: /score, /swagger.json and / for scripts, over Head and Responder; no task for an ordinary request."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections import deque
from pathlib import Path
from time import perf_counter_ns
from typing import Any
from urllib.parse import parse_qs, quote, unquote

from gantline.accelerators.script import channel as ch
from gantline.accelerators.script.contract import METHODS
from gantline.accelerators.script.engine import ScriptEngine
from gantline.accelerators.script.link import Call
from gantline.accelerators.script.ring import Message
from starlette.routing import BaseRoute, Route

import gantline
from gantline.errors import GantlineError
from gantline.wire import azure as wire

from ..access import CREDENTIALS
from ..exchange import Handler, Head, Headers, Responder
from ..fronts.asgi import Endpoint
from ..model import Model
from ..repository import Repository

_METHOD_NUMBERS = {name.encode(): i for i, name in enumerate(METHODS)}
_SERVER = f"gantline/{gantline.__version__}".encode()
UNMATCHED_HEADERS = {"x-ms-run-function-failed": "False"}
_log = logging.getLogger("gantline.score")


class AzureRoutes:
    """Answers for the script that is the default model, and for each script under /models/NAME."""

    def __init__(self, repository: Repository, max_body: int, guarded: bool = False) -> None:
        self.repository = repository
        self.guarded = guarded  # there are keys
        self.handlers: dict[bytes, Handler] = {}  # POST by raw path, for the hot front
        self._max_body = max_body
        self._faces: dict[bytes, Face] = {}  # by raw path of .../score and .../swagger.json
        self._by_engine: dict[ScriptEngine, Face] = {}
        repository.listeners.append(self._rebuild)
        self._rebuild()

    def routes(self) -> list[BaseRoute]:
        """The same for the slow road: any method, any spelling of a name."""
        score, swagger = Endpoint(self.score, self._max_body), Endpoint(self.swagger, self._max_body)
        home = Endpoint(self.home, self._max_body)
        every = [*METHODS, "TRACE", "CONNECT"]
        return [
            Route("/", home, methods=every),
            Route("/score", score, methods=every),
            Route("/swagger.json", swagger, methods=every),
            Route("/models/{name}/score", score, methods=every),
            Route("/models/{name}/swagger.json", swagger, methods=every),
        ]

    def default(self) -> Face | None:
        """The face of the default model, if that is a script: then it owns `/` and what matches nothing."""
        return self._faces.get(b"/score")

    def score(self, head: Head, body: bytes, responder: Responder) -> None:
        """Answer /score or /models/NAME/score, now or later."""
        face = self._faces.get(head.path) or self._find(head.path)
        if face is None:
            _send_error(responder, 404, wire.ROUTE_NOT_FOUND)
        else:
            face.score(head, body, responder)

    def swagger(self, head: Head, body: bytes, responder: Responder) -> None:
        """Answer /swagger.json or /models/NAME/swagger.json."""
        face = self._faces.get(head.path) or self._find(head.path)
        if face is None:
            _send_error(responder, 404, wire.ROUTE_NOT_FOUND)
        else:
            face.swagger(head, responder)

    def home(self, head: Head, body: bytes, responder: Responder) -> None:
        """Answer /: Azure's text when the default model is a script, JSON otherwise."""
        face = self.default()
        if face is not None:
            face.home(head, responder)
        else:
            about: dict[str, Any] = {"name": "gantline", "version": gantline.__version__}
            if not self.guarded:  # this page is open to everybody
                about["models"] = self.repository.names()[:100]
            responder.send(200, [wire.JSON], json.dumps(about).encode())

    def preflight(self, path: bytes) -> bool:
        """Whether OPTIONS there is for browsers, and answered without the script."""
        face = self._faces.get(path)
        return face is not None and bool(face.cors) and not face.raw

    def unmatched(self, status: int) -> tuple[int, bytes]:
        """Status and body for a path (404) or method (405) that nothing answers."""
        message = wire.ROUTE_METHOD_NOT_ALLOWED if status == 405 else wire.ROUTE_NOT_FOUND
        return status, wire.error_body(message)

    def _find(self, path: bytes) -> Face | None:
        parts = [unquote(p) for p in path.decode("ascii", "replace").strip("/").split("/")]
        if len(parts) != 3 or parts[0] != "models":
            return None
        return self._faces.get(f"/models/{quote(parts[1])}/{parts[2]}".encode())

    def _rebuild(self) -> None:
        faces: dict[bytes, Face] = {}
        known: dict[ScriptEngine, Face] = {}
        for name in self.repository.names():
            try:
                model = self.repository.find(name)
            except GantlineError:
                continue
            engine = model.session.engine
            if isinstance(engine, ScriptEngine) and engine.contract == "azure":
                face = known[engine] = self._by_engine.get(engine) or Face(model, engine)
                faces[f"/models/{quote(name)}/score".encode()] = face
                faces[f"/models/{quote(name)}/swagger.json".encode()] = face
        default = self.repository.default_model()
        if default is not None and (own := known.get(default.session.engine)) is not None:  # type: ignore[call-overload]
            faces[b"/score"] = faces[b"/swagger.json"] = own
        self._faces, self._by_engine = faces, known
        self.handlers.clear()
        # by path once more when the body is there: another version may have taken over meanwhile
        self.handlers.update({path: self.score for path in faces if path.endswith(b"/score")})


class Face:
    """One script's /score, /swagger.json and /."""

    def __init__(self, model: Model, engine: ScriptEngine) -> None:
        self.model = model
        self.engine = engine
        self.host = engine.host
        info, settings = engine.host.info, engine.settings
        self.raw: bool = info["mode"] == "raw"
        # what the script needs of the head beside the body: all of it, the content type, or nothing
        self._all_headers: bool = self.raw or info["headers"]
        self._content_type: bool = info["mode"] == "schema"
        self.cors = settings.cors
        self._loop = asyncio.get_running_loop()
        wanted = os.environ.get("SERVER_VERSION_LOG_RESPONSE_ENABLED", "true").lower() == "true"
        self.server = _SERVER if wanted else b""
        service = wire.Service(settings.service_name, settings.service_version, settings.path_prefix)
        self._swagger = wire.Swagger(service, info["schema"], _swagger_files(settings.app_root))

    def score(self, head: Head, body: bytes, responder: Responder) -> None:
        """One request to the script."""
        method = _METHOD_NUMBERS.get(head.method, 99)
        if method > 3:
            _send_error(responder, 405, wire.ROUTE_METHOD_NOT_ALLOWED)
            return
        exchanged = wire.Exchanged(head.headers)
        if exchanged.refused:
            self._refuse(431, exchanged.refused, head, exchanged, responder)
        elif method > 1 and not self.raw:
            if head.method == b"OPTIONS":
                headers = [wire.HTML, wire.NOT_FAILED, *self.common(head, exchanged)]
                responder.send(200, headers, b"")
            else:
                self._refuse(405, wire.METHOD_NOT_ALLOWED, head, exchanged, responder)
        else:
            scoring = Scoring(self, head, exchanged, responder)
            call = scoring.call = Call(ch.SCORE, body, scoring.deliver, method, self._meta(method, head))
            try:
                self.host.attach(self._loop)
                self.host.submit(call)
            except GantlineError as e:
                self.model.statistics.failed(perf_counter_ns() - scoring.arrived, e)
                self._refuse(503, e.message, head, exchanged, responder)
                return
            responder.on_close(scoring.left)

    def swagger(self, head: Head, responder: Responder) -> None:
        """The document for ?version=."""
        if self._page(head, responder):
            return
        exchanged = wire.Exchanged(head.headers)
        if exchanged.refused:
            self._refuse(431, exchanged.refused, head, exchanged, responder)
            return
        versions = parse_qs(head.query.decode("latin-1"), keep_blank_values=True).get("version")
        status, body = self._swagger.find(versions[0] if versions else None)
        responder.send(status, [wire.JSON, wire.NOT_FAILED, *self.common(head, exchanged)], body)

    def home(self, head: Head, responder: Responder) -> None:
        """`/` says Healthy."""
        if self._page(head, responder):
            return
        exchanged = wire.Exchanged(head.headers)
        if exchanged.refused:
            self._refuse(431, exchanged.refused, head, exchanged, responder)
            return
        responder.send(200, [wire.HTML, *self.common(head, exchanged)], wire.HEALTHY)

    def common(self, head: Head, exchanged: wire.Exchanged) -> Headers:
        """The headers of every answer to this request."""
        headers = exchanged.headers(self.server)
        if self.cors:
            headers += wire.cors_headers(self.cors, exchanged, head.method, head.headers)
        return headers

    def _page(self, head: Head, responder: Responder) -> bool:
        """Answer methods that a page does not have; True if that was it."""
        if head.method in (b"GET", b"HEAD"):
            return False
        if head.method == b"OPTIONS":
            exchanged = wire.Exchanged(head.headers)
            allow = (b"allow", b"GET, HEAD, OPTIONS")
            responder.send(200, [wire.HTML, allow, *self.common(head, exchanged)], b"")
        else:
            _send_error(responder, 405, wire.ROUTE_METHOD_NOT_ALLOWED)
        return True

    def _refuse(self, status: int, message: str, head: Head, exchanged: wire.Exchanged, responder: Responder) -> None:
        headers = [wire.JSON, wire.NOT_FAILED, *self.common(head, exchanged)]
        responder.send(status, headers, wire.error_body(message))

    def _meta(self, method: int, head: Head) -> bytes:
        if self._all_headers:
            # a key is between its owner and the server: a script might log what it gets
            headers = head.headers if head.key is None else [h for h in head.headers if h[0] not in CREDENTIALS]
            return head.path + b"\n" + head.query + b"\n" + wire.header_lines(headers)
        if method:
            return b"\n" + head.query
        if self._content_type:
            return b"\n\ncontent-type:" + (head.get(b"content-type") or b"")
        return b""


class Scoring:
    """One request on its way through the script, until its last message."""

    __slots__ = ("_exchanged", "_face", "_head", "_responder", "_stream", "arrived", "call")

    def __init__(self, face: Face, head: Head, exchanged: wire.Exchanged, responder: Responder) -> None:
        self._face = face
        self._head = head
        self._exchanged = exchanged
        self._responder = responder
        self._stream: Stream | None = None
        self.arrived = perf_counter_ns()
        self.call: Call

    def deliver(self, message: Message) -> None:
        """Called by the host with each message about this request."""
        kind = message.kind
        if kind == ch.REPLY or (kind == ch.BROKEN and self._stream is None):
            self._answer(message)
        elif kind == ch.START:
            common = self._face.common(self._head, self._exchanged)
            self._responder.start(message.status, wire.merged(wire.own_headers(message.meta), common))
            self._stream = Stream(self._face, self.call, self._responder)
        elif self._stream is not None:
            if kind == ch.CHUNK:
                self._stream.chunk(message.body)
            else:
                self._stream.end(kind == ch.END)
                self._count("" if kind == ch.END else "engine", 0)

    def left(self) -> None:
        """The client has gone: the script need not go on."""
        self._face.host.cancel(self.call)
        if self._stream is not None:
            self._stream.stop()

    def _answer(self, message: Message) -> None:
        flags = message.flags
        own = flags & ch.OWN_HEADERS
        if flags & ch.CANCELLED:
            self._face.model.statistics.cancelled += 1
            return
        headers: Headers
        if own:
            headers = wire.own_headers(message.meta)
            body = message.body
        elif flags & ch.RAN:
            headers = [wire.JSON, wire.NOT_FAILED]
            body = message.body
        else:
            headers = [wire.JSON, wire.FAILED if flags & (ch.RUN_FAILED | ch.DIED) else wire.NOT_FAILED]
            body = wire.error_body(self._error(message))
        if flags & ch.RAN:
            headers.append(wire.took_header(message.aux))
        common = self._face.common(self._head, self._exchanged)
        headers = wire.merged(headers, common) if own else headers + common
        self._responder.send(message.status, headers, body)
        self._count(_reason(message), message.aux)

    def _error(self, message: Message) -> str:
        if message.flags & ch.TIMED_OUT:
            return wire.timeout_message(self._face.engine.settings.timeout_ms)
        if message.flags & (ch.RUN_FAILED | ch.DIED):
            return wire.SCRIPT_ERROR
        if message.flags & ch.NOT_MINE:
            return wire.INTERNAL_ERROR
        return message.body.decode("utf-8", "replace")

    def _count(self, failure: str, ran_ns: int) -> None:
        statistics = self._face.model.statistics
        took = perf_counter_ns() - self.arrived
        if failure:
            statistics.failed(took, failure)
        else:
            statistics.succeeded(took)
        if ran_ns:
            statistics.scored(took - ran_ns, ran_ns)


def _reason(message: Message) -> str:
    """Why a script's answer counts as failed, as telemetry.reasons has it; empty when it does not."""
    if message.flags & ch.TIMED_OUT:
        return "deadline"
    return "" if message.status < 400 else "bad_request" if message.status < 500 else "engine"


class Stream:
    """A streamed answer: pieces go to the client as fast as it takes them, and credit goes back to the host."""

    def __init__(self, face: Face, call: Call, responder: Responder) -> None:
        self._face = face
        self._call = call
        self._responder = responder
        self._pieces: deque[bytes] = deque()
        self._over: bool | None = None
        self._task: asyncio.Task[None] | None = None

    def chunk(self, data: bytes) -> None:
        """A piece has come; one task a stream sends what has gathered, and is gone in between."""
        self._pieces.append(data)
        self._go()

    def end(self, good: bool) -> None:
        """The script is done: well, or not, and then the client must see the answer break off."""
        self._over = good
        self._go()

    def stop(self) -> None:
        """The client has left."""
        self._pieces.clear()

    def _go(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._send())

    async def _send(self) -> None:
        while self._pieces:
            data = self._pieces.popleft()
            self._responder.chunk(data)
            self._call.waiting = True
            await self._responder.drain()
            self._call.waiting = False
            self._face.host.allow(self._call, len(data))
        if self._over is not None:
            if self._over:
                self._responder.end()
            else:
                self._responder.abort()


def _send_error(responder: Responder, status: int, message: str) -> None:
    responder.send(status, [wire.JSON, wire.NOT_FAILED], wire.error_body(message))


def _swagger_files(root: Path) -> dict[str, Any]:
    """The user's own documents, which win over generated ones; a damaged one is left out, with a warning."""
    found: dict[str, Any] = {}
    for name in ("swagger.json", *(f"swagger{v}.json" for v in wire.SWAGGER_VERSIONS)):
        try:
            found[name] = json.loads((root / name).read_bytes())
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as e:
            _log.warning("%s: left out: %s", root / name, e)
    return found
