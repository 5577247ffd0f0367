"""GET /v2/repository/memory: which models are in memory and what they weigh; ours, beside the V2 protocol."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gantline.errors import Unsupported

from ..control import Control
from .answering import get, json_response


class MemoryRoutes:
    """The verb "memory" for people."""

    def __init__(self, control: Control, on_demand: bool) -> None:
        self._control = control
        self._on_demand = on_demand

    def routes(self) -> list[Route]:
        return [get("/v2/repository/memory", self.look)]

    async def look(self, request: Request) -> Response:
        if not self._on_demand:
            raise Unsupported("every model is in memory all the time; see --load on-demand")
        return json_response(await self._control.call("memory"))
