"""GET /metrics: what Prometheus scrapes, of all workers at once."""

from __future__ import annotations

import asyncio
import gzip
import re

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..control import Control
from ..telemetry.exposition import expose, negotiate
from .answering import get

_REFUSED = re.compile(r"gzip\s*;\s*q=0(\.0*)?\s*(,|$)")


class MetricsRoutes:
    """The verb "metrics" as text."""

    def __init__(self, control: Control) -> None:
        self.control = control

    def routes(self) -> list[Route]:
        return [get("/metrics", self.metrics)]

    async def metrics(self, request: Request) -> Response:
        kind = negotiate(request.headers.get("accept", ""))
        accepted = request.headers.get("accept-encoding", "").lower()
        packed = "gzip" in accepted and not _REFUSED.search(accepted)
        snapshot = await self.control.call("metrics")

        def write() -> bytes:
            text = expose(snapshot, kind)
            return gzip.compress(text, 1) if packed else text

        body = await asyncio.to_thread(write)  # hundreds of models make megabytes
        headers = {"vary": "accept, accept-encoding", "cache-control": "no-store"}
        if packed:
            headers["content-encoding"] = "gzip"
        return Response(body, headers={"content-type": kind, **headers})
