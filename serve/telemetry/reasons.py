"""Reasons: the one table from an error to the word that /metrics has for it."""

from __future__ import annotations

from gantline.errors import (
    BadRequest,
    DeadlineExceeded,
    Denied,
    GantlineError,
    NotFound,
    TooLarge,
    Unavailable,
    Unsupported,
)

# the first row that fits decides; what is left is the model's fault
TABLE: tuple[tuple[type[GantlineError], str], ...] = (
    (TooLarge, "too_large"),
    (BadRequest, "bad_request"),
    (Unsupported, "bad_request"),
    (NotFound, "not_found"),
    (DeadlineExceeded, "deadline"),
    (Denied, "denied"),
)
# what Triton calls them
TRITON = {
    **dict.fromkeys(("queue_full", "share", "admission", "bytes", "deadline"), "REJECTED"),
    "engine": "BACKEND",
}


def reason_of(error: GantlineError) -> str:
    """A word out of few, whatever the message: Unavailable has its own, such as queue_full or admission."""
    if isinstance(error, Unavailable):
        return error.reason
    return next((word for kind, word in TABLE if isinstance(error, kind)), "engine")
