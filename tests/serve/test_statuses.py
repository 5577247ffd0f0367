"""The HTTP edge's table: every kind of error has its status, and nothing leaks."""

from __future__ import annotations

import json

import pytest
from gantline.serve.statuses import JSON, MAX_MESSAGE, refusal, retry_after, status_of, told, v2_error

from gantline import errors
from gantline.errors import GantlineError

EXPECTED = {
    "TooLarge": 413, "BadRequest": 400, "NotFound": 404, "Denied": 401, "Unavailable": 503, "Overloaded": 503,
    "Unsupported": 501, "DeadlineExceeded": 504, "BadArtefact": 500, "EngineFailed": 500, "ScriptFailed": 500,
    "UsageError": 500, "VerificationFailed": 500, "Unreachable": 500,
}  # fmt: skip
LEAVES = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, GantlineError)]


@pytest.mark.parametrize("kind", [c for c in LEAVES if c is not GantlineError])
def test_every_kind_has_its_status(kind: type[GantlineError]) -> None:
    assert status_of(kind("what was wrong")) == EXPECTED[kind.__name__]


@pytest.mark.parametrize(
    ("path", "known", "status", "headers", "word"),
    [
        (b"/v2/models/m/infer", False, 401, {b"www-authenticate": b'Bearer realm="gantline"'}, "error"),
        (b"/", True, 403, {}, "error"),
        (b"/score", False, 401, {b"x-ms-run-function-failed": b"False"}, "message"),
        (b"/models/m/score", True, 403, {b"x-ms-run-function-failed": b"False"}, "message"),
        (b"/swagger.json", True, 403, {}, "message"),
        (b"/ping", True, 403, {}, "message"),
        (b"/v1/models/m:predict", False, 401, {}, "error"),
    ],
)
def test_a_refusal_is_in_the_face_of_its_path(
    path: bytes, known: bool, status: int, headers: dict[bytes, bytes], word: str
) -> None:
    found, sent, body = refusal(path, errors.Denied("who are you", known))
    assert found == status and json.loads(body)[word] == "who are you"
    assert headers.items() <= dict(sent).items() and dict(sent)[b"content-type"] == b"application/json"
    assert (b"insufficient_scope" in dict(sent)[b"www-authenticate"]) is known


def test_a_client_beyond_its_share_is_told_so_and_when_to_try_again() -> None:
    for reason, status in (("share", 429), ("queue_full", 503), ("admission", 503), ("deadline", 503), ("bytes", 503)):
        error = errors.Overloaded("too much", reason, 2.1)
        assert status_of(error) == status and retry_after(error) == [(b"retry-after", b"3")]
    assert retry_after(errors.Unavailable("loading")) == []


def test_the_body_of_an_error() -> None:
    status, body = v2_error(errors.NotFound("no 'x' \u00e9"))
    assert (status, json.loads(body)) == (404, {"error": "no 'x' \u00e9"})


def test_a_message_that_quotes_a_whole_body_is_cut() -> None:
    _, body = v2_error(errors.BadRequest("x" * 1_000_000))
    assert len(body) < MAX_MESSAGE + 50 and json.loads(body)["error"].endswith("x...")


def test_only_our_own_faults_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    for kind in (errors.BadRequest, errors.Unavailable, errors.EngineFailed):
        v2_error(kind("said"))
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [("WARNING", "said")]


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        (b"", {"error": "no"}),
        (b"/v2/models/m/infer", {"error": "no"}),
        (b"/v1/models/m:predict", {"error": "no"}),
        (b"/models/m/score", {"message": "no"}),
        (b"/score", {"message": "no"}),
        (b"/invocations", {"error_code": "BAD_REQUEST", "message": "no"}),
        (b"/models/m/invoke", {"error_code": "BAD_REQUEST", "message": "no"}),
    ],
)
def test_what_reaches_no_face_is_told_in_its_words(path: bytes, wanted: dict[str, str]) -> None:
    headers, body = told(path, 413, "no")
    assert json.loads(body) == wanted and JSON[1] in dict(headers)[b"content-type"]
