"""Gate: what stands before every route of the slow road when there are keys."""

from __future__ import annotations

from collections.abc import Callable

from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from gantline.errors import Denied

from ..access import HTTP, NOBODY, SCORE, Access, Rule
from ..statuses import refusal
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
            rule, name = _rule(scope)
            try:
                self.access.admit(head, rule, name)
            except Denied as e:
                status, headers, body = refusal(head.path, e)
                headers.append((b"content-length", b"%d" % len(body)))
                await send({"type": "http.response.start", "status": status, "headers": headers})
                await send({"type": "http.response.body", "body": body})
                return
            scope["gantline.head"] = head
        await self.app(scope, receive, send)


def _rule(scope: Scope) -> tuple[Rule, str | None]:
    """The rule of the route that will answer, and the model in its path. What no route answers needs a key, too."""
    for route in scope["app"].routes:
        match, found = route.matches(scope)
        if match is Match.FULL:
            return HTTP.get(route.path, NOBODY), found.get("path_params", {}).get("name")
    return SCORE, None
