"""What an engine is told to start: decided without one."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from gantline.builders.engine.wish import NAME, STARTED, VERSION, Wish, beside, can_share, free_port, settled, told

from gantline.errors import UsageError
from gantline.oci.image import Image, write_manifest
from gantline.oci.store import Store


@pytest.fixture
def image(tmp_path: Path) -> Image:
    settings = {
        "Labels": {"dev.gantline.package.name": "iris", "dev.gantline.package.digest": "sha256:1"},
        "Cmd": ["/m"],
    }
    config = {"os": "linux", "architecture": "amd64", "config": settings, "rootfs": {"type": "layers", "diff_ids": []}}
    return write_manifest(Store(tmp_path).prepared(), config, (), {})


def test_nothing_more_is_allowed_than_needed(image: Image) -> None:
    found = told(Wish("one", variables={"GANTLINE_WORKERS": "2"}), image, "iris:1")
    assert found["read_only"] and found["cap_drop"] == ["ALL"] and found["security_opt"] == ["no-new-privileges"]
    assert found["ports"] == {"8000/tcp": ("127.0.0.1", 8000), "8001/tcp": ("127.0.0.1", 8001)}
    assert found["environment"] == {"GANTLINE_WORKERS": "2"} and "network_mode" not in found and "command" not in found
    started = json.loads(found["labels"][STARTED])
    assert found["labels"][NAME] == "one" and started["image_id"] == image.id and started["package"] == "sha256:1"


def test_in_the_network_of_the_host_it_is_told_where_to_listen(image: Image) -> None:
    found = told(Wish("one", 9000, 9001, "0.0.0.0", shared=True, arguments=("--workers", "2")), image, "iris:1")
    assert found["network_mode"] == "host" and "ports" not in found
    assert found["environment"]["GANTLINE_HTTP_PORT"] == "9000" and found["environment"]["GANTLINE_HOST"] == "0.0.0.0"
    assert found["command"] == ["/m", "--workers", "2"]


def test_beside_another_it_shares_ports_if_its_runtime_can(image: Image) -> None:
    joining = Wish("one", 9000, 9001, "::1", anchor="0123", joins=True)
    found = told(joining, image, "iris:1", "one.next")
    assert found["network_mode"] == "container:0123" and "ports" not in found
    assert found["environment"] == {
        "GANTLINE_HOST": "0.0.0.0", "GANTLINE_HTTP_PORT": "8000", "GANTLINE_GRPC_PORT": "8001",
        "GANTLINE_SHARE_PORTS": "join",
    }  # fmt: skip
    assert json.loads(found["labels"][STARTED])["port"] == 9000, "what it is outside"
    old = replace(joining, joins=False, offers=False)
    assert "GANTLINE_SHARE_PORTS" not in told(old, image, "iris:1")["environment"], "or it would not start"


@pytest.mark.parametrize(
    ("version", "can"),
    [("", False), ("0.0.9", False), ("0.1.0", True), ("0.10.0rc1", True), ("1.0.0", True), ("1", False), ("?", False)],
)
def test_a_runtime_that_can_share_ports(image: Image, version: str, can: bool) -> None:
    labels = {VERSION: version} if version else {}
    assert can_share(replace(image, config={"config": {"Labels": labels}})) is can


def test_any_free_port_is_left_to_the_engine_or_chosen(image: Image) -> None:
    wish = Wish("one", 0, 0)
    assert told(wish, image, "iris:1")["ports"]["8000/tcp"] == ("127.0.0.1", None)
    chosen = settled(wish)
    assert chosen.port and chosen.grpc_port and replace(chosen, port=0, grpc_port=0) == wish


def test_what_makes_no_sense_is_refused(image: Image) -> None:
    with pytest.raises(UsageError, match=r"--env PORT: say where it listens by --port"):
        Wish("one", variables={"PORT": "1"})
    with pytest.raises(UsageError, match=r"--grpc-port 8000: the same as --port"):
        Wish("one", 8000, 8000)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        with pytest.raises(UsageError, match="choose another --port"):
            free_port("127.0.0.1", s.getsockname()[1])
    with pytest.raises(UsageError, match=r"--host 192.0.2.1: .*; name an address of this machine"):
        free_port("192.0.2.1", 0)
    with pytest.raises(UsageError, match="not one that `gantline build` made"):
        told(Wish("one"), replace(image, config={**image.config, "config": {}}), "other:1")


def test_grpcs_port_beside_https() -> None:
    """None that needs privileges, where HTTP's is the last one."""
    assert [beside(port) for port in (0, 8000, 65534, 65535)] == [0, 8001, 65535, 65534]
