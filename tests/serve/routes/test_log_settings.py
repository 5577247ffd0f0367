"""/v2/logging over a real socket: the settings are told, and hold at once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.serve.conftest import Running


def test_look_and_change(servers: Callable[..., Running], zoo: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = servers(zoo / "double.onnx")
    logging.getLogger().addHandler(caplog.handler)  # as set_up_log would: before the first change

    def post(body: bytes | dict[str, Any]) -> tuple[int, Any]:
        (answer,) = server.ask(server.post("/v2/logging", body))
        return answer.status, answer.json()

    def heard() -> bool:
        caplog.clear()
        logging.getLogger("gantline.test").warning("heard")
        return "heard" in caplog.text

    try:
        (answer,) = server.ask(server.get("/v2/logging"))
        start = answer.json()
        assert start["log_warning"] is True and heard()
        assert post({"log_warning": False}) == (200, start | {"log_warning": False})
        assert not heard()
        assert post({"log_warning": None}) == (200, start)
        assert heard()
        assert post({"log_file": "x"})[0] == 501 and post({"log_info": 1})[0] == 400 and post(b"[]")[0] == 400
        (answer,) = server.ask(server.get("/v2/logging"))
        assert answer.json() == start
    finally:
        logging.getLogger().removeHandler(caplog.handler)
