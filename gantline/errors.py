"""What can go wrong, one leaf for each kind; every edge (HTTP, gRPC, command line) has one table to its statuses."""

from __future__ import annotations


class GantlineError(Exception):
    """Base of all errors that are meant for a person.

    `message` says in one line what was wrong, where, and what to do; it is safe to show to a client.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message


class UsageError(GantlineError):
    """A command line, a setting or an argument that makes no sense."""


class BadArtefact(GantlineError):
    """A file that is damaged, truncated, foreign, or not what it was said to be."""


class BadRequest(GantlineError):
    """A request that the model cannot answer as it stands: wrong name, dtype, shape, size or encoding."""


class TooLarge(BadRequest):
    """A body, header or nesting beyond its limit."""


class NotFound(GantlineError):
    """An unknown model, version or path."""


class Denied(GantlineError):
    """Nobody's key, or one that may not do this; `known` tells which of the two it was."""

    def __init__(self, message: str, known: bool = False) -> None:
        super().__init__(message)
        self.known = known


class Unsupported(GantlineError):
    """Something that this program, model or platform does not do."""


class Unavailable(GantlineError):
    """Known, but not ready, or full: worth another try later. `reason` is one of a few words, to be counted by."""

    def __init__(self, message: str, reason: str = "unavailable") -> None:
        super().__init__(message)
        self.reason = reason


class Overloaded(Unavailable):
    """More than can be served: tried again after `retry_after_s`, it may be.

    `reason`: "share": the client's tenant has more waiting than its share; "queue_full": the most that may wait does;
    "admission": what waits would be answered too late already; "deadline": this one's would pass before its turn;
    "bytes": the server holds as many bytes of requests as it may.
    """

    def __init__(self, message: str, reason: str = "queue_full", retry_after_s: float = 1.0) -> None:
        super().__init__(message, reason)
        self.retry_after_s = retry_after_s


class DeadlineExceeded(GantlineError):
    """The time that the caller or the model allows ran out."""


class EngineFailed(GantlineError):
    """The model itself failed on an input that it should have taken."""


class ScriptFailed(GantlineError):
    """A user's scoring script failed; its own text goes to the log, not to the client."""


class VerificationFailed(GantlineError):
    """A digest, a golden sample or a parity limit does not hold."""


class Unreachable(GantlineError):
    """A server that does not answer."""
