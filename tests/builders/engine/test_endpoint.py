"""What an engine tells of a container, read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gantline.builders.engine.endpoint import described
from gantline.builders.engine.wish import NAME, STARTED

from gantline.errors import NotFound


def container(state: str = "running", **started: Any) -> dict[str, Any]:
    facts = {"host": "127.0.0.1", "port": 0, "grpc_port": 0, "network": "published", "model": "iris", **started}
    ports = {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "49153"}], "8001/tcp": None}
    return {
        "Id": "0123456789abcdef", "Name": "/one", "Created": "2026-01-01T00:00:00Z", "State": {"Status": state},
        "Config": {"Labels": {NAME: "one", STARTED: json.dumps(facts)}}, "NetworkSettings": {"Ports": ports},
    }  # fmt: skip


def test_published_ports_are_the_engines() -> None:
    found = described(container())
    assert (found.url, found.grpc, found.model, found.container) == (
        "http://127.0.0.1:49153",
        "",
        "iris",
        "0123456789ab",
    )


def test_in_the_network_of_the_host_they_are_those_asked_for() -> None:
    found = described(container(network="host", host="::", port=9000, grpc_port=9001))
    assert (found.url, found.grpc) == ("http://[::1]:9000", "[::1]:9001")
    assert described(container(host="0.0.0.0"), "box").url == "http://box:49153"


def test_behind_an_anchor_they_are_its_own_words() -> None:
    attrs = container(network="anchored", port=9000, grpc_port=9001)
    attrs["NetworkSettings"]["Ports"] = {}
    attrs["Config"]["Env"] = ["GANTLINE_SHARE_PORTS=offer", "GANTLINE_TLS_CERTIFICATE=/c.pem"]
    found = described(attrs)
    assert (found.url, found.grpc, found.offers) == ("https://127.0.0.1:9000", "127.0.0.1:9001", True)
    assert not described(container()).offers


def test_one_that_does_not_run_is_nowhere() -> None:
    found = described(container("exited"))
    assert (found.state, found.url, found.grpc) == ("exited", "", "")


def test_labels_of_somebody_else_are_no_endpoint() -> None:
    attrs = container()
    attrs["Config"]["Labels"][STARTED] = "cos\nsystem"
    with pytest.raises(NotFound, match=r"container /one: has no dev.gantline.started"):
        described(attrs)
