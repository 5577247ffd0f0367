"""How slow methods answer: what goes wrong becomes a status, and faults of ours leave a traceback in the log only."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from gantline.serve.rpc.answering import unary
from gantline.serve.rpc.call import Methods
from gantline.serve.rpc.statuses import Code

from gantline.errors import NotFound

if TYPE_CHECKING:
    from tests.serve.rpc.conftest import Rpc

LIVE = "/inference.GRPCInferenceService/ServerLive"


async def broken(request: Any) -> Any:
    raise ValueError("secret")


async def absent(request: Any) -> Any:
    raise NotFound("no such thing")


def test_bytes_that_are_no_message(rpc: Rpc) -> None:
    code, details = rpc.refused("/inference.GRPCInferenceService/ModelConfig", b"\xff")
    assert code == Code.INVALID_ARGUMENT
    assert details.startswith("the message is no inference.ModelConfigRequest: ") and "\n" not in details


def test_a_method_that_fails(rpc: Rpc, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    for answer, status in (
        (absent, (Code.NOT_FOUND, "no such thing")),
        (broken, (Code.INTERNAL, f"{LIVE} failed; see the server's log")),
    ):
        methods = Methods({LIVE.encode(): unary("inference.ServerLiveRequest", answer)})
        monkeypatch.setattr(rpc.service, "methods", methods)
        with caplog.at_level(logging.ERROR, "gantline.grpc"):
            assert rpc.refused(LIVE, b"") == status
    assert [r.getMessage() for r in caplog.records if r.exc_info] == [f"{LIVE} failed"]
    assert "secret" in caplog.text


def test_who_leaves_before_the_answer(rpc: Rpc) -> None:
    talk = rpc.start(LIVE, b"")
    talk.leave()
    rpc.ask(LIVE, b"")
    assert talk.closed and talk.status in (None, (0, ""))
