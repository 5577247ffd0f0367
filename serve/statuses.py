"""The HTTP edge's one table from error to status, and V2's error body."""

from __future__ import annotations

import math

from gantline.errors import (
    BadArtefact,
    BadRequest,
    DeadlineExceeded,
    Denied,
    GantlineError,
    NotFound,
    Overloaded,
    TooLarge,
    Unavailable,
    Unsupported,
)
from gantline.wire import azure, mlflow
from gantline.wire.v2 import dump_json

from . import paths
from .exchange import Headers
from .failures import OVER_HTTP

# the first row that fits decides
TABLE: tuple[tuple[type[GantlineError], int], ...] = (
    (TooLarge, 413),
    (BadRequest, 400),
    (NotFound, 404),
    (Unavailable, 503),
    (Unsupported, 501),
    (DeadlineExceeded, 504),
    (BadArtefact, 500),
)
JSON = (b"content-type", b"application/json")
_CHALLENGE = b'Bearer realm="gantline"'
_TOO_SMALL = _CHALLENGE + b', error="insufficient_scope"'
MAX_MESSAGE = 2000  # characters
BROKEN = "internal error; see the server's log"


def status_of(error: GantlineError) -> int:
    """The HTTP status for an error; 500 for what is the server's or the model's fault."""
    if isinstance(error, Denied):
        return 403 if error.known else 401
    if isinstance(error, Overloaded) and error.reason == "share":
        return 429  # the client's own doing; what the server lacks is 503
    return next((status for kind, status in TABLE if isinstance(error, kind)), 500)


def v2_error(error: GantlineError) -> tuple[int, bytes]:
    """Status and body as the V2 face gives them."""
    status = status_of(error)
    message = error.message
    if len(message) > MAX_MESSAGE:  # it quotes what a client sent
        message = message[:MAX_MESSAGE] + "..."
    if status == 500:  # 501 and 503 are the client's to read; a full queue must not flood the log
        OVER_HTTP.note(message)
    return status, dump_json({"error": message})


def retry_after(error: GantlineError) -> Headers:
    """The header that says when to try again, in whole seconds, where the error knows."""
    if not isinstance(error, Overloaded):
        return []
    return [(b"retry-after", b"%d" % math.ceil(error.retry_after_s))]


def told(path: bytes, status: int, message: str) -> tuple[Headers, bytes]:
    """Headers and body of an error in the words of the face that a raw path belongs to.

    For what never reaches a face: bodies that are too large or stop, keys, faults of ours.
    """
    if paths.is_scoring(path):
        return [JSON], mlflow.error_body(status, message)
    if paths.is_azure(path):
        return [azure.JSON, azure.NOT_FAILED], azure.error_body(message)
    return [JSON], dump_json({"error": message})


def refusal(path: bytes, error: Denied) -> tuple[int, Headers, bytes]:
    """Status, headers and body for a request that may not be answered, in the face that its raw path belongs to."""
    status = status_of(error)
    headers, body = told(path, status, error.message)
    # RFC 6750, section 3
    headers.append((b"www-authenticate", _TOO_SMALL if error.known else _CHALLENGE))
    return status, headers, body
