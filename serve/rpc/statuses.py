"""The gRPC edge's one table from error to status code."""

from __future__ import annotations

from enum import IntEnum

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

from ..exchange import Headers
from ..failures import OVER_GRPC

MAX_DETAILS = 1500  # bytes; they travel percent-encoded in trailers, of which clients take 8 KiB


class Code(IntEnum):
    """gRPC's status codes, as far as they are used here."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


# the first row that fits decides
TABLE: tuple[tuple[type[GantlineError], Code], ...] = (
    (TooLarge, Code.RESOURCE_EXHAUSTED),
    (BadRequest, Code.INVALID_ARGUMENT),
    (NotFound, Code.NOT_FOUND),
    (Overloaded, Code.RESOURCE_EXHAUSTED),
    (Unavailable, Code.UNAVAILABLE),
    (Unsupported, Code.UNIMPLEMENTED),
    (DeadlineExceeded, Code.DEADLINE_EXCEEDED),
    (BadArtefact, Code.INTERNAL),
)


def code_of(error: GantlineError) -> Code:
    """The gRPC code for an error; INTERNAL for what is the server's or the model's fault."""
    if isinstance(error, Denied):
        return Code.PERMISSION_DENIED if error.known else Code.UNAUTHENTICATED
    return next((code for kind, code in TABLE if isinstance(error, kind)), Code.INTERNAL)


def pushback(error: GantlineError) -> Headers | None:
    """The trailer by which a client that retries knows when (gRPC's proposal A6), where the error knows."""
    if not isinstance(error, Overloaded):
        return None
    return [(b"grpc-retry-pushback-ms", b"%d" % (error.retry_after_s * 1000))]


def refusal(error: GantlineError) -> tuple[Code, str]:
    """Code and details as a call is to end with."""
    code, message = code_of(error), error.message
    if len(message) > MAX_DETAILS // 4 and len(raw := message.encode("utf-8", "replace")) > MAX_DETAILS:
        message = raw[:MAX_DETAILS].decode("utf-8", "ignore") + "..."  # it quotes what a client sent
    if code is Code.INTERNAL:  # the others are the client's to read; a full queue must not flood the log
        OVER_GRPC.note(message)
    return code, message
