"""Errors: one base, a dozen leaves, one line each."""

from __future__ import annotations

import inspect

from gantline import errors
from gantline.errors import GantlineError


def leaves() -> list[type[GantlineError]]:
    found = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, GantlineError)]
    return [c for c in found if c is not GantlineError]


def test_every_leaf_is_ours_and_says_what_it_is() -> None:
    assert 5 < len(leaves()) <= 14
    for leaf in leaves():
        error = leaf("what was wrong, where, what to do")
        assert str(error) == error.message == "what was wrong, where, what to do"
        assert leaf.__doc__ and not hasattr(error, "status")


def test_errors_survive_a_process_boundary() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(errors.BadRequest("no")))  # noqa: S301  # ours, and just made
    assert isinstance(error, errors.BadRequest) and error.message == "no"
