"""Statuses: every kind of error has its HTTP status, and a body that tritonclient can read."""

from __future__ import annotations

import json
import logging

import pytest
from gantline.serve.statuses import MAX_MESSAGE, status_of, v2_error

from gantline import errors


def leaves(kind: type[errors.GantlineError]) -> list[type[errors.GantlineError]]:
    return [kind, *(leaf for sub in kind.__subclasses__() for leaf in leaves(sub))]


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.BadRequest, 400),
        (errors.TooLarge, 413),
        (errors.NotFound, 404),
        (errors.Unavailable, 503),
        (errors.Unsupported, 501),
        (errors.DeadlineExceeded, 504),
        (errors.BadArtefact, 500),
        (errors.EngineFailed, 500),
        (errors.ScriptFailed, 500),
        (errors.VerificationFailed, 500),
    ],
)
def test_statuses(kind: type[errors.GantlineError], status: int) -> None:
    assert status_of(kind("x")) == status


def test_no_error_is_without_a_status() -> None:
    for kind in leaves(errors.GantlineError):
        error = kind.__new__(kind)
        assert 400 <= status_of(error) <= 504


def test_the_body() -> None:
    assert v2_error(errors.NotFound('no "x"')) == (404, json.dumps({"error": 'no "x"'}, separators=(",", ":")).encode())


def test_a_message_that_quotes_a_long_body_is_cut() -> None:
    _, body = v2_error(errors.BadRequest("x" * 10 * MAX_MESSAGE))
    assert len(body) < MAX_MESSAGE + 100


def test_only_the_server_s_own_faults_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        v2_error(errors.BadRequest("the client's"))
        v2_error(errors.Unavailable("full"))
        assert caplog.records == []
        v2_error(errors.EngineFailed("ours"))
    assert [r.getMessage() for r in caplog.records] == ["ours"]
