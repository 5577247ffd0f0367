"""V2's trace face: look at the trace settings of the server or a model and change them (wire: Triton's HTTP server)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..control import Control
from .answering import document, get, json_response, post


class TraceRoutes:
    """Endpoints over the control's verb trace_settings."""

    def __init__(self, control: Control, max_body: int) -> None:
        self._control = control
        self._max_body = max_body

    def routes(self) -> list[Route]:
        table = []
        for path in ("/v2/trace/setting", "/v2/models/{name}/trace/setting"):
            table += [get(path, self.look), post(path, self.update)]
        return table

    async def look(self, request: Request) -> Response:
        return json_response(await self._control.call("trace_settings", model=_model(request), update={}))

    async def update(self, request: Request) -> Response:
        update = await document(request, self._max_body)
        return json_response(await self._control.call("trace_settings", model=_model(request), update=update))


def _model(request: Request) -> str:
    return str(request.path_params.get("name", ""))
