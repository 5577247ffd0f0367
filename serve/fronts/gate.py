"""Gates: what stands before every route of the slow road, with keys and without."""

from __future__ import annotations

from collections.abc import Callable

from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from gantline.errors import Denied

from ..access import HTTP, NOBODY, SCORE, Access, Rule
from ..exchange import Headers
from ..pages import Pages
from ..statuses import JSON, refusal, v2_error
from .asgi import head_of


class Gate:
    """An ASGI middleware. It asks the routes themselves which one will answer, so no spelling of a path passes by."""

    def __init__(self, app: ASGIApp, access: Access, preflight: Callable[[bytes], bool]) -> None:
        self.app = app
        self.access = access
        self.preflight = preflight  # whether OPTIONS of a raw path is answered to browsers, which ask without a key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            head = head_of(scope)
            if head.method == b"OPTIONS" and self.preflight(head.path):
                await self.app(scope, receive, send)
                return
            rule, name = _rule(scope)  # what no route answers needs a key, too
            try:
                self.access.admit(head, rule or SCORE, name)
            except Denied as e:
                await _refuse(send, *refusal(head.path, e))
                return
            scope["gantline.head"] = head
        await self.app(scope, receive, send)


class PageGate:
    """The same where there are no keys: it keeps off other people's web pages, in the operator's browser."""

    def __init__(self, app: ASGIApp, pages: Pages) -> None:
        self.app = app
        self.pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (doubt := self.pages.doubt(head := head_of(scope))) is not None:
            rule, _ = _rule(scope)
            try:
                if rule is not None:
                    self.pages.admit(head, rule, doubt)
            except Denied as e:
                status, body = v2_error(e)
                await _refuse(send, status, [JSON], body)
                return
        await self.app(scope, receive, send)


async def _refuse(send: Send, status: int, headers: Headers, body: bytes) -> None:
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _rule(scope: Scope) -> tuple[Rule | None, str | None]:
    """The rule of the route that will answer, and the model in its path; None where no route does."""
    for route in scope["app"].routes:
        match, found = route.matches(scope)
        if match is Match.FULL:
            return HTTP.get(route.path, NOBODY), found.get("path_params", {}).get("name")
    return None, None
