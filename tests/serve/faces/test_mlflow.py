"""MLflow's face as the core asks it: whose paths, what of a head it looks at, how errors are told."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from gantline.serve.exchange import Head, Headers
from gantline.serve.faces.mlflow import MlflowFace, refused
from gantline.serve.paths import is_scoring
from gantline.serve.statuses import JSON, MAX_MESSAGE

from gantline.errors import (
    BadRequest,
    DeadlineExceeded,
    EngineFailed,
    GantlineError,
    NotFound,
    Overloaded,
    ScriptFailed,
    TooLarge,
    Unavailable,
    Unsupported,
)
from gantline.wire.mlflow import UnknownType
from tests.serve.conftest import Running


def face(default: str = "m") -> MlflowFace:
    return MlflowFace(lambda: default)


def test_paths_lead_to_models() -> None:
    assert face().paths("a b", "") == [b"/models/a%20b/invoke"] and face().paths("m", "3") == []
    assert face().locate(b"/invocations") == ("m", "")
    assert face().locate(b"/models/a%20b%2Fc/invoke") == ("a b/c", "")
    for path in (b"/models/m/score", b"/invocations/", b"/models/invoke", b"/models/a/b/invoke", b""):
        with pytest.raises(NotFound):
            face().locate(path)
    with pytest.raises(NotFound, match="--default"):
        face("").locate(b"/invocations")


def test_paths_whose_errors_it_tells() -> None:
    assert all(map(is_scoring, (b"/invocations", b"/ping", b"/version", b"/models/m/invoke")))
    assert not any(map(is_scoring, (b"/models/m/score", b"/health/x", b"/", b"/v2/models/m/invoke")))


@pytest.mark.parametrize(
    ("headers", "style"),
    [
        ([], "json"),
        ([(b"content-type", b"application/json"), (b"accept", b"*/*")], "json"),
        ([(b"content-type", b"text/csv")], None),
        ([(b"content-type", b"nonsense")], None),
        ([(b"accept", b"text/csv")], None),
        ([(b"accept", b"application/jsonlines")], None),
    ],
)
def test_what_of_a_head_forms_hang_on(headers: Headers, style: str | None) -> None:
    assert face().style(Head(b"POST", b"/invocations", b"", headers)) == style


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (BadRequest("x"), 400, "BAD_REQUEST"),
        (TooLarge("x"), 413, "BAD_REQUEST"),
        (UnknownType("x"), 415, "BAD_REQUEST"),
        (NotFound("x"), 404, "ENDPOINT_NOT_FOUND"),
        (EngineFailed("x"), 400, "BAD_REQUEST"),
        (ScriptFailed("x"), 500, "INTERNAL_ERROR"),
        (Unsupported("x"), 501, "NOT_IMPLEMENTED"),
        (Unavailable("x"), 503, "TEMPORARILY_UNAVAILABLE"),
        (Overloaded("x", "share"), 429, "REQUEST_LIMIT_EXCEEDED"),
        (DeadlineExceeded("x"), 504, "DEADLINE_EXCEEDED"),
    ],
)
def test_each_error_has_mlflows_code(error: GantlineError, status: int, code: str) -> None:
    got, headers, body = refused(error)
    assert (got, headers, json.loads(body)) == (status, [JSON], {"error_code": code, "message": "x"})


def test_messages_are_one_line_and_bounded() -> None:
    message = json.loads(refused(BadRequest("a\n b" + "x" * 9999))[2])["message"]
    assert message.startswith("a b") and len(message) == MAX_MESSAGE


def test_its_forms_are_remembered(servers: Callable[..., Running]) -> None:
    """The second body alike takes the short way, in which the model's own form is read."""
    server = servers(default="double")
    body = b'{"instances": [[1.5, 2.5, 3.5]]}'
    request = b"POST /invocations HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
    answers = server.ask(request * 3)
    assert [a.json() for a in answers] == [{"predictions": [[3.0, 5.0, 7.0]]}] * 3
    model: Any = server.stack.repository.find("double")
    assert model.other_forms["mlflow", "json"].like.form.read(body) is not None
    assert model.forms.like is None  # V2's are its own
