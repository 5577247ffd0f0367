"""Compose files: one container that only this machine reaches, or that asks for keys."""

from __future__ import annotations

import pytest
from gantline.builders.deploy.compose import write

from gantline.errors import UsageError

from .conftest import DIGEST, FULL, Make, judged

_JUDGE = """
import json, sys, compose_spec
found = []
for document in json.load(sys.stdin):
    try:
        compose_spec.PyCompose.from_json(json.dumps(document))
    except Exception as e:
        found.append(str(e))
print(json.dumps(found))
"""


def test_everything_that_is_said_is_written(endpoint: Make) -> None:
    written = write(endpoint(blue=FULL))
    (tree,) = written.documents.values()
    one = tree["services"]["blue"]
    assert one["image"] == DIGEST and one["read_only"] and one["cap_drop"] == ["ALL"]
    assert one["environment"] == {
        "GANTLINE_ACCESS_LOG": "true", "GANTLINE_DRAIN_S": "2.5", "GANTLINE_SHUTDOWN_S": "10",
        "GANTLINE_KEYS": "/run/gantline/keys/keys.toml", "GANTLINE_NO_AUTH": "false", "PRICE": "$$5 $$(x)",
        "TOKEN": "${TOKEN:?set it to key token of secret bank}",
    }  # fmt: skip
    assert one["ports"] == ["8000:8000", "8001:8001"]
    assert tree["secrets"] == {"blue-keys": {"file": "./secrets/gate/keys.toml"}}
    assert one["secrets"] == [{"source": "blue-keys", "target": "/run/gantline/keys/keys.toml"}]
    assert one["deploy"]["resources"] == {
        "limits": {"cpus": "2", "memory": f"{2 << 30}b"},
        "reservations": {
            "cpus": "0.25", "memory": f"{1 << 30}b",
            "devices": [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}],
        },
    }  # fmt: skip
    assert one["stop_grace_period"] == "18s" and one["healthcheck"]["start_period"] == "40s"
    (note,) = written.notes
    assert note.startswith("blue: instances is not applied: ")


def test_without_keys_only_this_machine_asks(endpoint: Make) -> None:
    (tree,) = write(endpoint(blue={"traffic": 100}, green={"traffic": 0})).documents.values()
    assert tree["services"]["blue"]["ports"] == ["127.0.0.1:8000:8000", "127.0.0.1:8001:8001"]
    assert "ports" not in tree["services"]["green"]


def test_shares_are_refused(endpoint: Make) -> None:
    with pytest.raises(UsageError, match=r"compose has no router.*blue 50 %, green 50 %"):
        write(endpoint(blue={"traffic": 50}, green={"traffic": 50}))


@pytest.mark.oracle
def test_the_compose_specification(endpoint: Make) -> None:
    (tree,) = write(endpoint(blue=FULL)).documents.values()
    (two,) = write(endpoint(blue={"traffic": 100}, green={})).documents.values()
    assert judged("manifests", _JUDGE, [tree, two]) == []
    assert judged("manifests", _JUDGE, [{"services": {"blue": {"image": "x", "prots": []}}}]), "it sees a wrong key"
