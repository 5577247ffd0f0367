"""GET /openapi.json: every face of this server, with the tensors of the models that are loaded."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import islice
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

import gantline
from gantline.errors import NotFound
from gantline.settings import ServeSettings

from ..access import HTTP, NOBODY
from ..keys import Role
from ..openapi.document import Access, Server, document
from ..openapi.faces import FACES
from ..openapi.operation import Subject
from ..openapi.subjects import served, subject_of
from ..repository import Repository
from .answering import get, json_response

MAX_VERSIONS = 50  # in one document; /openapi.json?model=NAME has any other


class OpenApiRoutes:
    """The document, made anew for each caller: a key for some models sees those."""

    def __init__(self, repository: Repository, settings: ServeSettings, beside: Sequence[BaseRoute]) -> None:
        """`beside`: the router's routes, which are what may be described."""
        self._repository = repository
        self._beside = beside
        self._guarded = bool(settings.keys)
        self._keyless = frozenset(settings.keyless.split("+"))

    def routes(self) -> list[Route]:
        return [get("/openapi.json", self.document)]

    async def document(self, request: Request) -> Response:
        name = request.query_params.get("model", "")
        models = visible(request)
        if name and (name not in self._repository.names() or (models is not None and name not in models)):
            raise NotFound(f"Request for unknown model: '{name}' is not found")
        slots = [(s.entry, s.model) for s in islice(served(self._repository, models, name), MAX_VERSIONS)]
        total = 1 if name else len(self._repository.names() if models is None else models)
        default = self._repository.default_model()

        def write() -> dict[str, Any]:
            subjects = [subject_of(entry, model) for entry, model in slots]
            return document(FACES, self._server(subjects, default.name if default else "", total))

        return json_response(await asyncio.to_thread(write))

    def _server(self, subjects: list[Subject], default: str, total: int) -> Server:
        paths = frozenset(r.path for r in self._beside if isinstance(r, Route))
        own = next((s for s in subjects if s.name == default), None)
        return Server(gantline.__version__, subjects, own, paths, self._access, total)

    def _access(self, path: str) -> Access:
        rule = HTTP.get(path, NOBODY)
        if not self._guarded:
            return Access(refuses=not rule.pages)
        key = rule.keyless not in self._keyless
        return Access(key, key, "admin" if rule.role is Role.ADMIN else "")


def visible(request: Request) -> frozenset[str] | None:
    """The models that a request's key is for; None: all."""
    head = request.scope.get("gantline.head")
    return None if head is None or head.key is None else head.key.models
