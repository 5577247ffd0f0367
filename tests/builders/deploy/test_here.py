"""What has to be done so that a described endpoint runs here; and what has no place here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gantline.builders.deploy.here import keys_file, not_applied, plan, variables_changed, wish
from gantline.builders.engine.record import Deployed, Record
from gantline.builders.engine.wish import Wish

from gantline.errors import NotFound, UsageError

from .conftest import FULL, Make

ID, OTHER = "sha256:" + "1" * 64, "sha256:" + "2" * 64


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    for name, text in (("gate/keys.toml", "x"), ("bank/token", "hush\n")):
        path = tmp_path / name
        path.parent.mkdir()
        path.write_text(text)
    return tmp_path


def test_a_container_as_it_is_described(endpoint: Make, secrets: Path) -> None:
    found = wish(endpoint(blue=FULL), "docker", secrets)
    assert (found.name, found.host, found.port, found.grpc_port) == ("iris", "0.0.0.0", 8000, 8001)
    assert found.variables == {
        "GANTLINE_ACCESS_LOG": "true", "GANTLINE_DRAIN_S": "2.5", "GANTLINE_SHUTDOWN_S": "10",
        "GANTLINE_WORKERS": "2", "PRICE": "$5 $(x)", "TOKEN": "hush",
    }  # fmt: skip
    extra = found.extra
    assert extra["healthcheck"]["interval"] == 3_000_000_000 and found.grace_s == 18
    assert (extra["nano_cpus"], extra["mem_limit"]) == (4_000_000_000, 4 << 30), "for both instances"
    assert (extra["cpu_shares"], extra["mem_reservation"]) == (512, 2 << 30)
    assert extra["device_requests"] == [{"count": 2, "capabilities": [["gpu"]]}]
    assert Wish.from_json(found.to_json()).to_json() == found.to_json()


def test_a_process_has_no_engine(endpoint: Make, secrets: Path) -> None:
    assert wish(endpoint(blue=FULL), "process", secrets).extra == {}
    told = list(not_applied(endpoint(blue=FULL), "process"))
    assert [line.partition(" is not")[0] for line in told] == [
        "blue: instances.max", "blue: resources", "blue: probes",
    ]  # fmt: skip
    plain = endpoint(blue={})
    assert list(not_applied(plain, "process")) == [] and wish(plain, "process", secrets).host == "127.0.0.1"


def test_secrets_are_files(endpoint: Make, secrets: Path) -> None:
    (one,) = endpoint(blue=FULL).deployments
    assert keys_file(one, secrets) == secrets / "gate" / "keys.toml"
    (secrets / "bank" / "token").write_bytes(b"\xff")
    with pytest.raises(UsageError, match="not UTF-8"):
        wish(endpoint(blue=FULL), "docker", secrets)
    (secrets / "bank" / "token").unlink()
    with pytest.raises(NotFound, match=r"secret bank: key token: .*no such file; put it there, or say --secrets"):
        wish(endpoint(blue=FULL), "docker", secrets)


def test_several_deployments(endpoint: Make, secrets: Path) -> None:
    with pytest.raises(UsageError, match=r"docker: one deployment an endpoint.*\(blue 90 %, green 10 %\)"):
        wish(endpoint(blue={"traffic": 90}, green={"traffic": 10}), "docker", secrets)


def recorded(wanted: Wish, keys: str = "") -> Record:
    one = Deployed("main", "iris:1", ID)
    return Record("iris", "engine", "unix:///x", "iris", (one,), keys=keys, details={"wish": wanted.to_json()})


@pytest.mark.parametrize(
    ("said", "image", "act", "changes"),
    [
        ({}, ID, "unchanged", ()),
        ({}, OTHER, "update", ("image: sha256:111111111111 -> sha256:222222222222",)),
        ({"environment": {"A": "2"}}, ID, "update", ("variable A",)),
        ({"resources": {"memory_limit": "1Gi"}}, ID, "replace", ("mem_limit: None -> 1073741824",)),
    ],
)
def test_what_leads_there(
    endpoint: Make, secrets: Path, said: dict[str, Any], image: str, act: str, changes: tuple[str, ...]
) -> None:
    usual = {"environment": {"A": "1"}}
    before = recorded(wish(endpoint(blue=usual), "docker", secrets))
    wanted = wish(endpoint(blue={**usual, **said}), "docker", secrets)
    found = plan(before, True, wanted, image, None)
    assert (found.act, found.changes) == (act, changes)
    assert plan(None, False, wanted, image, None).act == "create"
    assert plan(before, False, wanted, image, None).act == "replace", "it does not run"


def test_values_of_variables_are_told_nobody(endpoint: Make, secrets: Path) -> None:
    before = wish(endpoint(blue={"environment": {"GONE": "1"}}), "docker", secrets)
    wanted = wish(endpoint(blue={"secrets": FULL["secrets"]}), "docker", secrets)
    found = plan(recorded(before), True, wanted, ID, None)
    assert found.changes == ("variable GONE", "variable TOKEN") and found.act == "update"
    assert variables_changed(recorded(before), wanted) == {"GONE": None, "TOKEN": "hush"}


def test_other_keys_and_another_port(endpoint: Make, secrets: Path) -> None:
    wanted = wish(endpoint(blue={}), "docker", secrets)
    found = plan(recorded(wanted), True, wanted, ID, secrets / "gate" / "keys.toml")
    assert found.act == "replace" and found.changes[0].startswith("keys: none -> ")
    moved = replace(wanted, port=9000, grpc_port=9001)
    assert plan(recorded(wanted), True, moved, ID, None).changes == ("port: 8000 -> 9000", "grpc_port: 8001 -> 9001")
