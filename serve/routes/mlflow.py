"""MLflow's scoring server's paths, and SageMaker's: /invocations, /models/NAME/invoke, /ping, /health and /version."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from time import perf_counter_ns

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

import gantline
from gantline.errors import GantlineError
from gantline.wire.mlflow import error_body

from ..core import Core
from ..exchange import Head, Headers, Responder
from ..faces.mlflow import INVOCATIONS
from ..fronts.asgi import Endpoint
from ..readiness import Readiness
from ..standby import Standby
from .azure import AzureRoutes


class MlflowRoutes:
    """`core` is this face's. A scoring script is asked as /score asks it: its bodies are its own affair."""

    def __init__(self, core: Core, azure: AzureRoutes, readiness: Readiness, max_body: int) -> None:
        self.models = core.routes  # by raw path, for the hot front
        self._repository = core.repository
        self._core = core
        self._azure = azure
        self._readiness = readiness
        self._max_body = max_body
        core.repository.listeners.append(self._follow)
        self._follow()

    def routes(self) -> list[BaseRoute]:
        """The same for the slow road, and what is no hot path."""
        invoke = Endpoint(self.invoke, self._max_body)
        return [
            Route("/invocations", invoke, methods=["POST"]),
            Route("/models/{name}/invoke", invoke, methods=["POST"]),
            Route("/ping", self._ping),
            Route("/health", self._ping),
            Route("/version", self._version),
        ]

    def invoke(self, head: Head, body: bytes, responder: Responder) -> None:
        """Answer a request for predictions, now or later."""
        try:
            model = self.models.get(head.path) or self._core.find(head.path)
        except Standby as e:  # whether it is a script, and so who answers, is known when it is loaded
            again = partial(self.invoke, head, body, responder)
            self._core.absent(e, head, responder, again, perf_counter_ns(), len(body))
            return
        except GantlineError:
            model = None  # as the core will tell
        if model is not None and model.scores is not None:
            face = self._azure.face_of(model)
            if face is not None:
                face.score(head, body, ScriptResponder(responder))
                return
        self._core.infer(head, body, responder)

    def _follow(self) -> None:
        """Which model is the default one may have changed, by name or by version."""
        model = self._repository.default_model()
        if model is None:
            self.models.pop(INVOCATIONS, None)
        else:
            self.models[INVOCATIONS] = model

    async def _ping(self, request: Request) -> Response:
        name = self._repository.default_name()
        if self._readiness and (not name or self._repository.default_model() or self._repository.awaits(name)):
            return Response(b"\n", media_type="application/json")
        return Response(error_body(503, "not ready"), 503, media_type="application/json")

    async def _version(self, request: Request) -> Response:
        return Response(gantline.__version__, media_type="text/plain")


class ScriptResponder:
    """A script's answer on its way to MLflow's client: what the server says of a failure gets MLflow's shape."""

    __slots__ = ("_inner",)

    def __init__(self, inner: Responder) -> None:
        self._inner = inner

    @property
    def closed(self) -> bool:
        return self._inner.closed

    def send(self, status: int, headers: Headers, body: bytes) -> None:
        self._inner.send(status, headers, _reshaped(status, body) if status >= 400 else body)

    def start(self, status: int, headers: Headers) -> None:
        self._inner.start(status, headers)

    def chunk(self, data: bytes) -> None:
        self._inner.chunk(data)

    def end(self) -> None:
        self._inner.end()

    def abort(self) -> None:
        self._inner.abort()

    async def drain(self) -> None:
        await self._inner.drain()

    def on_close(self, callback: Callable[[], None]) -> None:
        self._inner.on_close(callback)


def _reshaped(status: int, body: bytes) -> bytes:
    """Azure's `{"message"}` as MLflow says it; what else a script has answered stays as it is."""
    try:
        tree = json.loads(body)
    except (ValueError, RecursionError):
        return body
    if isinstance(tree, dict) and set(tree) == {"message"} and isinstance(tree["message"], str):
        return error_body(status, tree["message"])
    return body
