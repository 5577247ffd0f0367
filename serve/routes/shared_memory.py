"""V2's shared-memory face: register, unregister and look at regions (wire contract: Triton's HTTP server)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gantline.errors import BadRequest, Unsupported

from ..control import Control
from .answering import document, get, json_response, post

_SYSTEM, _CUDA = "/v2/systemsharedmemory", "/v2/cudasharedmemory"


class SharedMemoryRoutes:
    """Endpoints over the control's shared-memory verbs. There is no CUDA memory: its list is always empty."""

    def __init__(self, control: Control, max_body: int) -> None:
        self._control = control
        self._max_body = max_body

    def routes(self) -> list[Route]:
        table = []
        for base in (_SYSTEM, _SYSTEM + "/region/{region}"):
            table += [
                get(base + "/status", self.status),
                post(base + "/register", self.register),
                post(base + "/unregister", self.unregister),
            ]
        for base in (_CUDA, _CUDA + "/region/{region}"):
            table += [
                get(base + "/status", self.no_status),
                post(base + "/register", self.no_register),
                post(base + "/unregister", self.no_unregister),
            ]
        return table

    async def status(self, request: Request) -> Response:
        return json_response(await self._control.call("shared_memory_status", region=_region(request)))

    async def register(self, request: Request) -> Response:
        region = _region(request)
        if not region:
            raise BadRequest(f"a region's name is missing: POST {_SYSTEM}/region/NAME/register")
        said = await document(request, self._max_body)
        for key in ("key", "byte_size"):
            if key not in said:
                raise BadRequest(f"shared memory region '{region}': the body has no \"{key}\"")
        await self._control.call(
            "shared_memory_register",
            region=region, key=said["key"], offset=said.get("offset", 0), byte_size=said["byte_size"],
        )  # fmt: skip
        return Response(status_code=200)

    async def unregister(self, request: Request) -> Response:
        await self._control.call("shared_memory_unregister", region=_region(request))
        return Response(status_code=200)

    # -- CUDA: clients ask before they know that there is none, and tidy up

    async def no_status(self, request: Request) -> Response:
        return json_response([])

    async def no_register(self, request: Request) -> Response:
        raise Unsupported("CUDA shared memory is not supported; use system shared memory")

    async def no_unregister(self, request: Request) -> Response:
        return Response(status_code=200)


def _region(request: Request) -> str:
    return str(request.path_params.get("region", ""))
