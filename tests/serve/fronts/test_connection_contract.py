"""The contract with uvicorn: what we override and what we lean on. A version that breaks it fails here, not in use."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from gantline.serve.fronts.connection import Connection
from gantline.serve.fronts.hot import Exchange
from gantline.serve.fronts.http1 import Http1
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

if TYPE_CHECKING:
    from tests.serve.conftest import Running


def names(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_uvicorn_is_the_one_that_was_read() -> None:
    assert uvicorn.__version__ == "0.54.0", "read HttpToolsProtocol again, then change the pin and this line"


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("__init__", ["self", "config", "server_state", "app_state", "_loop"]),
        ("connection_made", ["self", "transport"]),
        ("connection_lost", ["self", "exc"]),
        ("eof_received", ["self"]),
        ("data_received", ["self", "data"]),
        ("pause_writing", ["self"]),
        ("resume_writing", ["self"]),
        ("shutdown", ["self"]),
        ("on_message_begin", ["self"]),
        ("on_url", ["self", "url"]),
        ("on_header", ["self", "name", "value"]),
        ("on_headers_complete", ["self"]),
        ("on_body", ["self", "body"]),
        ("on_message_complete", ["self"]),
        ("on_response_complete", ["self"]),
        ("_start_asgi_task", ["self", "cycle", "app"]),
    ],
)
def test_the_methods_that_we_override_or_call(method: str, parameters: list[str]) -> None:
    assert names(getattr(HttpToolsProtocol, method)) == parameters


def test_no_method_came_that_would_bypass_ours() -> None:
    own = {n for n, f in vars(HttpToolsProtocol).items() if inspect.isfunction(f)}
    overridden = {n for c in (Connection, Http1) for n, f in vars(c).items() if inspect.isfunction(f)}
    assert own - overridden == {
        "_get_upgrade", "_should_upgrade", "_should_upgrade_to_ws", "_unset_keepalive_if_required",
        "_unsupported_upgrade_warning", "handle_websocket_upgrade", "on_url", "send_400_response",
        "timeout_keep_alive_handler",
    }  # fmt: skip


def test_the_attributes_that_we_read(server: Running) -> None:
    assert names(RequestResponseCycle.__init__) == [
        "self", "scope", "transport", "flow", "logger", "access_logger", "access_log", "default_headers",
        "message_event", "expect_100_continue", "keep_alive", "on_response",
    ]  # fmt: skip
    for name in ("pause_reading", "resume_reading", "pause_writing", "resume_writing", "drain"):
        assert names(getattr(FlowControl, name)) == ["self"]
    assert STATUS_LINE[404] == b"HTTP/1.1 404 Not Found\r\n"
    assert {"connections", "tasks", "default_headers", "total_requests"} <= set(vars(ServerState()))
    with server.connect() as s:
        s.sendall(server.get("/v2"))
        server.read_answer(s)
        found = server.on_loop(
            lambda: [(set(vars(c)), set(vars(c.cycle)), set(vars(c.flow))) for c in server.connections]
        )
    ((protocol, cycle, flow),) = found
    assert protocol >= {
        "access_log", "app", "app_state", "asgi_version", "client", "connections", "cycle", "expect_100_continue",
        "flow", "headers", "loop", "parser", "pipeline", "root_path", "scheme", "scope", "server", "server_state",
        "transport", "url",
    }  # fmt: skip
    assert cycle >= {
        "chunked_encoding",
        "disconnected",
        "expected_content_length",
        "keep_alive",
        "message_event",
        "more_body",
        "response_complete",
        "response_started",
    }
    assert flow >= {"read_paused", "write_paused"}
    # what the parent, and its server, look at in the cycle of a connection
    assert set(Exchange.__slots__) >= {"disconnected", "keep_alive", "message_event", "response_complete"}


def test_the_server_makes_protocols_as_we_expect() -> None:
    source = inspect.getsource(uvicorn.Server)
    assert "config.http_protocol_class(" in source and "connection.shutdown()" in source
    assert names(uvicorn.Server.on_tick) == ["self", "counter"] and names(uvicorn.Server.shutdown) == [
        "self",
        "sockets",
    ]
    config = uvicorn.Config(lambda: None, http=partial(Http1, None), lifespan="off", log_config=None)  # type: ignore[arg-type]
    config.load()
    assert isinstance(config.http_protocol_class, partial)
