"""Exit codes: every error has one."""

from __future__ import annotations

import inspect

import pytest

from gantline import errors, exits
from gantline.errors import GantlineError

CODES = {
    "UsageError": 2, "Denied": 2, "BadArtefact": 3, "BadRequest": 3, "TooLarge": 3, "NotFound": 3,
    "VerificationFailed": 4, "Unreachable": 6, "DeadlineExceeded": 6,
}  # fmt: skip


@pytest.mark.parametrize("name", [n for n, c in inspect.getmembers(errors, inspect.isclass) if c is not GantlineError])
def test_the_code_of_each(name: str) -> None:
    kind = getattr(errors, name)
    if not issubclass(kind, GantlineError):
        pytest.skip("not an error")
    assert exits.exit_code(kind("x")) == CODES.get(name, exits.FAILED)


def test_subclasses_of_users_follow_their_base() -> None:
    class Mine(errors.BadArtefact):
        pass

    assert exits.exit_code(Mine("x")) == exits.BAD_INPUT == 3
    assert (exits.OK, exits.FAILED, exits.USAGE, exits.VERIFICATION, exits.WITH_ERRORS) == (0, 1, 2, 4, 5)
