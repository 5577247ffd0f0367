"""Each error has a word, out of few."""

from __future__ import annotations

import pytest
from gantline.serve.telemetry.reasons import TRITON, reason_of

from gantline.errors import (
    BadArtefact,
    BadRequest,
    DeadlineExceeded,
    Denied,
    EngineFailed,
    GantlineError,
    NotFound,
    ScriptFailed,
    TooLarge,
    Unavailable,
    Unsupported,
)


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (BadRequest("x"), "bad_request"),
        (TooLarge("x"), "too_large"),
        (Unsupported("x"), "bad_request"),
        (NotFound("x"), "not_found"),
        (DeadlineExceeded("x"), "deadline"),
        (Denied("x"), "denied"),
        (Unavailable("x"), "unavailable"),
        (Unavailable("x", "queue_full"), "queue_full"),
        (EngineFailed("x"), "engine"),
        (ScriptFailed("x"), "engine"),
        (BadArtefact("x"), "engine"),
    ],
)
def test_words(error: GantlineError, word: str) -> None:
    assert reason_of(error) == word


def test_the_message_makes_no_word() -> None:
    """Whatever a client makes an error say, the words stay few."""
    assert {reason_of(BadRequest(f"x{i}")) for i in range(100)} == {"bad_request"}


def test_triton_has_its_own_words() -> None:
    assert {TRITON.get(w, "OTHER") for w in ("queue_full", "engine", "bad_request")} == {"REJECTED", "BACKEND", "OTHER"}
