"""Answering: how a slow endpoint of the V2 face is called: errors as V2 shapes them, JSON in and out."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from gantline.errors import BadRequest, GantlineError
from gantline.wire.v2 import dump_json, parse_json

from ..compression import decompress
from ..fronts.asgi import read_body
from ..model import Model
from ..statuses import BROKEN, v2_error

Answer: TypeAlias = Callable[[Request], Awaitable[Response]]
_log = logging.getLogger("gantline.http")


def get(path: str, answer: Answer) -> Route:
    """A route for GET, guarded."""
    return Route(path, guarded(answer), methods=["GET"])


def post(path: str, answer: Answer) -> Route:
    """A route for POST, guarded."""
    return Route(path, guarded(answer), methods=["POST"])


def guarded(answer: Answer) -> Answer:
    """The same endpoint, with every error as V2's JSON."""

    async def endpoint(request: Request) -> Response:
        try:
            return await answer(request)
        except GantlineError as e:
            status, body = v2_error(e)
            return Response(body, status, media_type="application/json")
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except Exception:
            _log.exception("%s %s", request.method, request.url.path)
            return json_response({"error": BROKEN}, 500)

    return endpoint


async def document(request: Request, max_body: int) -> dict[str, Any]:
    """The body's JSON object, Content-Encoding undone; an empty body is an empty one. BadRequest for anything else."""
    body = await read_body(request, max_body)
    body = decompress(body, request.headers.get("content-encoding", "").encode("latin-1"), max_body)
    found = parse_json(body) if body.strip() else {}
    if not isinstance(found, dict):
        raise BadRequest("the body must be a JSON object, or empty")
    return found


def json_response(tree: Any, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(dump_json(tree), status, media_type="application/json")


def marked(answer: Response, model: Model) -> Response:
    """With the headers of all that a model answers."""
    answer.raw_headers.extend(model.mark)
    return answer
