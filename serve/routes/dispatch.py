"""GET /v2/models/{name}/dispatch: why batches went as they did; ours, beside the V2 protocol."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..control import Control
from ..telemetry.explainer import told
from .answering import get, json_response


class DispatchRoutes:
    """The verb "dispatch" for people."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def routes(self) -> list[Route]:
        model = "/v2/models/{name}"
        return [get(model + "/dispatch", self.look), get(model + "/versions/{version}/dispatch", self.look)]

    async def look(self, request: Request) -> Response:
        name, version = request.path_params["name"], request.path_params.get("version", "")
        return json_response(told(await self._control.call("dispatch", name=name, version=version)))
