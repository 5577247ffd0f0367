"""V2's logging face: look at the log's settings and change them (wire contract: Triton's HTTP server)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..control import Control
from .answering import document, get, json_response, post

_PATH = "/v2/logging"


class LogRoutes:
    """Endpoints over the control's verb log_settings."""

    def __init__(self, control: Control, max_body: int) -> None:
        self._control = control
        self._max_body = max_body

    def routes(self) -> list[Route]:
        return [get(_PATH, self.look), post(_PATH, self.update)]

    async def look(self, request: Request) -> Response:
        return json_response(await self._control.call("log_settings", update={}))

    async def update(self, request: Request) -> Response:
        update = await document(request, self._max_body)
        return json_response(await self._control.call("log_settings", update=update))
