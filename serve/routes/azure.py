"""The Azure face: /score, /swagger.json and / for scripts, over Head and Responder; no task for an ordinary request."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter_ns
from typing import Any
from urllib.parse import parse_qs, quote, unquote

from gantline.accelerators.script import channel as ch
from gantline.accelerators.script.contract import METHODS
from gantline.accelerators.script.engine import ScriptEngine
from gantline.accelerators.script.link import Call
from starlette.routing import BaseRoute, Route

import gantline
from gantline.errors import GantlineError
from gantline.request import Request
from gantline.wire import azure as wire

from ..access import CREDENTIALS, model_in
from ..admission import COUNTED, ByteBudget, Hold
from ..exchange import Handler, Head, Headers, Responder
from ..fronts.asgi import Endpoint
from ..model import Model
from ..repository import Repository
from ..script_queue import ScriptQueue
from ..standby import Standby, when_loaded
from ..statuses import retry_after, status_of
from ..ticket import Ticket
from ..wishes import settle, wishes_of
from .scoring import Scoring

_METHOD_NUMBERS = {name.encode(): i for i, name in enumerate(METHODS)}
_SERVER = f"gantline/{gantline.__version__}".encode()
UNMATCHED_HEADERS = {"x-ms-run-function-failed": "False"}
_log = logging.getLogger("gantline.score")


class AzureRoutes:
    """Answers for the script that is the default model, and for each script under /models/NAME."""

    def __init__(self, repository: Repository, max_body: int, budget: ByteBudget, guarded: bool = False) -> None:
        self.repository = repository
        self._budget = budget
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

    def face_of(self, model: Model) -> Face | None:
        """The face of a model that is a script."""
        engine = model.session.program
        return self._by_engine.get(engine) if isinstance(engine, ScriptEngine) else None

    def score(self, head: Head, body: bytes, responder: Responder) -> None:
        """Answer /score or /models/NAME/score, now or later."""
        face = self._faces.get(head.path) or self._find(head.path)
        if face is None:
            self._absent(head, responder, partial(self.score, head, body, responder), len(body))
        else:
            face.score(head, body, responder)

    def swagger(self, head: Head, body: bytes, responder: Responder) -> None:
        """Answer /swagger.json or /models/NAME/swagger.json."""
        face = self._faces.get(head.path) or self._find(head.path)
        if face is None:
            self._absent(head, responder, partial(self.swagger, head, body, responder))
        else:
            face.swagger(head, responder)

    def home(self, head: Head, body: bytes, responder: Responder) -> None:
        """Answer /: Azure's text when the default model is a script, JSON otherwise."""
        face = self.default()
        if face is not None:
            face.home(head, responder)
        elif isinstance(self._cold(self.repository.default_name()), Standby):
            responder.send(200, [wire.HTML], wire.HEALTHY)  # a probe is no reason to load it
        else:
            # "alive" is what KServe's clients look for
            about: dict[str, Any] = {"name": "gantline", "version": gantline.__version__, "status": "alive"}
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

    def _absent(self, head: Head, responder: Responder, again: Callable[[], None], size: int = 0) -> None:
        """No script is loaded that answers there: then do it `again` when it is, if there is one."""
        name = model_in(head.path, self.repository.default_name)
        cold = self._cold(name) if name else None
        if cold is None:
            _send_error(responder, 404, wire.ROUTE_NOT_FOUND)
            return

        def refuse(error: GantlineError) -> None:
            self.repository.ledger.refused(error)
            headers = [wire.JSON, wire.NOT_FAILED, *retry_after(error)]
            responder.send(status_of(error), headers, wire.error_body(error.message))

        error, timeout = cold, 0
        try:
            timeout = wishes_of(head).timeout_ns
        except GantlineError as e:
            error = e
        deadline = perf_counter_ns() + timeout if timeout else 0
        when_loaded(error, again, refuse, deadline, size if size > COUNTED else 0)

    def _cold(self, name: str) -> GantlineError | None:
        """Why a script that /score can ask is not there now; None for everything else."""
        entries = [slot.entry for slot in self.repository.slots(name)]
        scripts = [e.package.manifest.script for e in entries if e.package is not None]
        if self.repository.waker is None or not any(s is not None and s.contract == "azure" for s in scripts):
            return None
        try:
            self.repository.find(name)
        except GantlineError as e:
            return e.with_traceback(None)
        return None

    def _rebuild(self) -> None:
        faces: dict[bytes, Face] = {}
        known: dict[ScriptEngine, Face] = {}
        for model in self.repository.serving():
            name = model.name
            engine = model.session.program
            if isinstance(engine, ScriptEngine) and model.scores is not None:
                face = known[engine] = self._by_engine.get(engine) or Face(model, engine, model.scores, self._budget)
                faces[f"/models/{quote(name)}/score".encode()] = face
                faces[f"/models/{quote(name)}/swagger.json".encode()] = face
        default = self.repository.default_model()
        if default is not None and (own := known.get(default.session.program)) is not None:  # type: ignore[call-overload]
            faces[b"/score"] = faces[b"/swagger.json"] = own
        self._faces, self._by_engine = faces, known
        self.handlers.clear()
        # by path once more when the body is there: another version may have taken over meanwhile
        self.handlers.update({path: self.score for path in faces if path.endswith(b"/score")})


class Face:
    """One script's /score, /swagger.json and /."""

    def __init__(self, model: Model, engine: ScriptEngine, queue: ScriptQueue, budget: ByteBudget) -> None:
        self.model = model
        self.engine = engine
        self.crew = engine.crew
        self.queue = queue
        self._budget = budget
        info, settings = engine.crew.info, engine.settings
        self.raw: bool = info["mode"] == "raw"
        # what the script needs of the head beside the body: all of it, the content type, or nothing
        self._all_headers: bool = self.raw or info["headers"]
        self._content_type: bool = info["mode"] == "schema"
        self.cors = settings.cors
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
            self.refuse(431, exchanged.refused, head, exchanged, responder)
        elif method > 1 and not self.raw:
            if head.method == b"OPTIONS":
                headers = [wire.HTML, wire.NOT_FAILED, *self.common(head, exchanged)]
                responder.send(200, headers, b"")
            else:
                self.refuse(405, wire.METHOD_NOT_ALLOWED, head, exchanged, responder)
        else:
            self._queue(method, head, exchanged, body, responder)

    def _queue(self, method: int, head: Head, exchanged: wire.Exchanged, body: bytes, responder: Responder) -> None:
        arrived = perf_counter_ns()
        hold: Hold | None = None
        try:
            if len(body) > COUNTED:
                hold = self._budget.hold(len(body))
            request = Request({}, self.model.name, self.model.version, arrived=arrived, queued=arrived)
            settle(request, wishes_of(head), self.model.policy)
            scoring = Scoring(self, head, exchanged, responder, hold, arrived)
            scoring.call = Call(ch.SCORE, body, scoring.heard, method, self._meta(method, head))
            scoring.ticket = Ticket(request, 1, None, (), head, responder, None, scoring)
            self.queue.submit(scoring.ticket)
        except GantlineError as e:
            if hold is not None:
                hold.free()
            self.model.statistics.failed(perf_counter_ns() - arrived, e)
            self.refuse(status_of(e), e.message, head, exchanged, responder, e)
            return
        responder.on_close(scoring.left)

    def swagger(self, head: Head, responder: Responder) -> None:
        """The document for ?version=."""
        if self._page(head, responder):
            return
        exchanged = wire.Exchanged(head.headers)
        if exchanged.refused:
            self.refuse(431, exchanged.refused, head, exchanged, responder)
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
            self.refuse(431, exchanged.refused, head, exchanged, responder)
            return
        responder.send(200, [wire.HTML, *self.common(head, exchanged)], wire.HEALTHY)

    def common(self, head: Head, exchanged: wire.Exchanged) -> Headers:
        """The headers of every answer to this request."""
        headers = exchanged.headers(self.server) + self.model.mark
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

    def refuse(
        self, status: int, message: str, head: Head, exchanged: wire.Exchanged, responder: Responder,
        error: GantlineError | None = None,
    ) -> None:  # fmt: skip
        """An answer without the script; `error`: which may know when to try again."""
        later = [] if error is None else retry_after(error)
        headers = [wire.JSON, wire.NOT_FAILED, *later, *self.common(head, exchanged)]
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
