"""The gRPC edge's table: every kind of error has its code, and details fit into trailers."""

from __future__ import annotations

import pytest
from gantline.serve.rpc.statuses import MAX_DETAILS, Code, code_of, pushback, refusal

from gantline import errors
from gantline.errors import GantlineError

EXPECTED = {
    "TooLarge": Code.RESOURCE_EXHAUSTED, "BadRequest": Code.INVALID_ARGUMENT, "NotFound": Code.NOT_FOUND,
    "Unavailable": Code.UNAVAILABLE, "Overloaded": Code.RESOURCE_EXHAUSTED,
    "Unsupported": Code.UNIMPLEMENTED, "DeadlineExceeded": Code.DEADLINE_EXCEEDED,
    "BadArtefact": Code.INTERNAL, "EngineFailed": Code.INTERNAL, "ScriptFailed": Code.INTERNAL,
    "Denied": Code.UNAUTHENTICATED, "UsageError": Code.INTERNAL, "VerificationFailed": Code.INTERNAL,
    "Unreachable": Code.INTERNAL,
}  # fmt: skip
LEAVES = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, GantlineError)]


@pytest.mark.parametrize("kind", [c for c in LEAVES if c is not GantlineError])
def test_every_kind_has_its_code(kind: type[GantlineError]) -> None:
    assert code_of(kind("what was wrong")) is EXPECTED[kind.__name__]


def test_a_key_that_may_not_is_another_thing_than_none() -> None:
    assert code_of(errors.Denied("no", known=True)) is Code.PERMISSION_DENIED


def test_a_client_that_retries_is_told_when() -> None:
    assert pushback(errors.Overloaded("too much", "bytes", 1.5)) == [(b"grpc-retry-pushback-ms", b"1500")]
    assert pushback(errors.Unavailable("loading")) is None


def test_codes_are_grpcs_own() -> None:
    grpc = pytest.importorskip("grpc")
    assert all(grpc.StatusCode[c.name].value[0] == c for c in Code)


@pytest.mark.parametrize("letter", ["x", "\u6771"])
def test_details_fit_into_trailers(letter: str) -> None:
    code, details = refusal(errors.BadRequest(letter * 100_000))
    assert code is Code.INVALID_ARGUMENT and details.endswith(letter + "...")
    assert MAX_DETAILS - 4 < len(details.encode()) < MAX_DETAILS + 4
    assert refusal(errors.BadRequest(letter * 400))[1] == letter * 400


def test_only_our_own_faults_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    for kind in (errors.BadRequest, errors.Unavailable, errors.EngineFailed):
        refusal(kind("said"))
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [("WARNING", "said")]
