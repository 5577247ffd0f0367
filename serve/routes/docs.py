"""/docs: a page for people, and what it asks for: models some at a time, one model's details, its golden sample.

The page is the same for everybody and holds nothing of this server; what it shows is asked for with the caller's key.
"""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import suppress
from importlib.resources import files
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gantline.errors import BadRequest, NotFound, Unavailable
from gantline.request import Request as Tensors
from gantline.wire.v2 import encode_request

from .. import page
from ..control import Control
from ..keys import Role
from ..openapi.subjects import LARGE, subject_of, told
from ..repository import READY, Repository, Slot
from ..standby import TEXT
from .answering import get, json_response
from .openapi import visible

ROWS = 200  # of a list of models
_REASON = 300  # characters
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# nothing but what is shipped, no script in the page, no frame around it
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}


class DocsRoutes:
    """The page's files, and the JSON that it is filled with."""

    def __init__(self, repository: Repository, control: Control) -> None:
        self._repository = repository
        self._control = control
        self._files = _files()

    def routes(self) -> list[Route]:
        return [
            get("/docs", self.page),
            get("/docs/page.css", self.part),
            get("/docs/icon.svg", self.part),
            get("/docs/{script}.js", self.part),
            get("/docs/models", self.models),
            get("/docs/models/{name}", self.model),
            get("/docs/models/{name}/sample", self.sample),
        ]

    # -- files

    async def page(self, request: Request) -> Response:
        return self._send(request, "page.html")

    async def part(self, request: Request) -> Response:
        return self._send(request, request.url.path.removeprefix("/docs/"))

    def _send(self, request: Request, name: str) -> Response:
        found = self._files.get(name)
        if found is None:
            raise NotFound("Not Found")
        kind, body, tag = found
        headers = {**HEADERS, "etag": tag}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(body, headers={**headers, "content-type": kind})

    # -- what it asks for

    async def models(self, request: Request) -> Response:
        """Rows of the repository's index that the caller may see."""
        match, start = request.query_params.get("match", "").lower(), request.query_params.get("from", "0")
        if not (start.isascii() and start.isdigit() and len(start) < 10):
            raise BadRequest(f"docs: from is {start!r:.40}, expected a whole number from 0 up")
        mine = visible(request)
        rows = [
            row | {"reason": row.get("reason", "")[:_REASON]}
            for row in await self._control.call("index", ready=False)
            if match in row["name"].lower() and (mine is None or row["name"] in mine)
        ]
        rows.sort(key=lambda row: (row["name"], int(row.get("version", "0"))))
        return json_response({"total": len(rows), "models": rows[int(start) : int(start) + ROWS]})

    async def model(self, request: Request) -> Response:
        """One version, loaded or not, as its package and its session have it."""
        slot, head = self._slot(request), request.scope.get("gantline.head")
        entry, model, standby = slot.entry, slot.model, self._repository.stands_by(slot)
        # who made it, and from which repository, is not told to everybody who may ask it
        lineage = head is None or head.key is None or head.key.role is Role.ADMIN
        out: dict[str, Any] = {
            "name": entry.name,
            "version": entry.version,
            "versions": [s.entry.version for s in self._repository.slots(entry.name)],
            "state": READY if standby else slot.state,
            "reason": TEXT if standby else slot.reason[:_REASON],
        }

        def read() -> dict[str, Any]:
            subject = subject_of(entry, model)
            signature = {
                "inputs": [t.to_json() for t in subject.signature.inputs],
                "outputs": [t.to_json() for t in subject.signature.outputs],
            }
            return out | signature | told(entry, model, lineage) | {"recorded": subject.recorded}

        return json_response(await asyncio.to_thread(read))

    async def sample(self, request: Request) -> Response:
        """The sample's first row, or zeros, as a client would send it in binary."""
        slot = self._slot(request)
        entry, model = slot.entry, slot.model

        def read() -> tuple[bytes, int | None, bool]:
            subject = subject_of(entry, model, LARGE)
            if not subject.sample:
                raise Unavailable(f"model '{entry.name}' has no sample that could be sent")
            asked = Tensors(dict(subject.sample), parameters=dict(subject.parameters) or None)
            return *encode_request(asked), subject.recorded

        body, length, recorded = await asyncio.to_thread(read)
        headers = {
            "inference-header-content-length": str(len(body) if length is None else length),
            "x-gantline-sample": "golden" if recorded else "zeros",
            "cache-control": "no-store",
        }
        return Response(body, headers=headers, media_type="application/octet-stream")

    def _slot(self, request: Request) -> Slot:
        """The version asked for, or the one that answers, or the highest. NotFound."""
        name, version = request.path_params["name"], request.query_params.get("version", "")
        slots = list(self._repository.slots(name))
        if not slots:
            raise NotFound(f"Request for unknown model: '{name}' is not found")
        if version:
            found = next((s for s in slots if s.entry.version == version), None)
            if found is None:
                raise NotFound(f"Request for unknown model: '{name}' version {version[:20]} is not found")
            return found
        with suppress(Unavailable):
            model = self._repository.find(name)
            return next(s for s in slots if s.model is model)
        return slots[-1]


def _files() -> dict[str, tuple[str, bytes, str]]:
    """The page's files by name: content type, content, tag."""
    found = {}
    for file in files(page).iterdir():
        kind = _TYPES.get("." + file.name.rpartition(".")[2])
        if kind is not None:
            body = file.read_bytes()
            found[file.name] = (kind, body, f'"{hashlib.sha256(body).hexdigest()[:20]}"')
    return found
