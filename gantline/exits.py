"""The command line's exit codes, and the table from error to code."""

from __future__ import annotations

from .errors import (
    BadArtefact,
    BadRequest,
    DeadlineExceeded,
    Denied,
    GantlineError,
    NotFound,
    Unreachable,
    UsageError,
    VerificationFailed,
)

OK = 0
FAILED = 1
USAGE = 2
BAD_INPUT = 3
VERIFICATION = 4
WITH_ERRORS = 5
UNREACHABLE = 6

_TABLE: tuple[tuple[type[GantlineError], int], ...] = (
    (UsageError, USAGE),
    (Denied, USAGE),
    (BadArtefact, BAD_INPUT),
    (BadRequest, BAD_INPUT),
    (NotFound, BAD_INPUT),
    (VerificationFailed, VERIFICATION),
    (Unreachable, UNREACHABLE),
    (DeadlineExceeded, UNREACHABLE),
)


def exit_code(error: GantlineError) -> int:
    """The process's exit code for an error."""
    return next((code for kind, code in _TABLE if isinstance(error, kind)), FAILED)
