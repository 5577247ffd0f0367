"""Compose files: one container that only this machine reaches, or that asks for keys."""

from __future__ import annotations

import pytest
from gantline.builders.deploy.compose import write

from gantline.errors import UsageError

from .conftest import DIGEST, FULL, Make, judged

# compose-spec.json itself, which check-jsonschema carries
_JUDGE = """
import json, sys, jsonschema, importlib.resources as r
schema = json.loads(r.files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json").read_text())
judge = jsonschema.validators.validator_for(schema)(schema)
print(json.dumps([e.message for d in json.load(sys.stdin) for e in judge.iter_errors(d)]))
"""


def test_everything_that_is_said_is_written(endpoint: Make) -> None:
    written = write(endpoint(blue=FULL))
    (tree,) = written.documents.values()
    one = tree["services"]["blue"]
    assert one["tmpfs"] == [f"/tmp:size={2 << 30}"], "for both instances"
    assert one["image"] == DIGEST and one["read_only"] and one["cap_drop"] == ["ALL"]
    assert one["environment"] == {
        "GANTLINE_ACCESS_LOG": "true", "GANTLINE_DRAIN_S": "2.5", "GANTLINE_SHUTDOWN_S": "10",
        "GANTLINE_KEYS": "/run/gantline/keys/keys.toml", "GANTLINE_NO_AUTH": "false", "PRICE": "$$5 $$(x)",
        "GANTLINE_WORKERS": "2", "TOKEN": "${TOKEN:?set it to key token of secret bank}",
    }  # fmt: skip
    assert one["ports"] == ["8000:8000", "8001:8001"]
    (mounted,) = one["volumes"]
    assert (mounted["source"], mounted["target"], mounted["read_only"]) == (
        "./secrets/gate",
        "/run/gantline/keys",
        True,
    )
    assert one["deploy"]["resources"] == {
        "limits": {"cpus": "4", "memory": f"{4 << 30}b"},
        "reservations": {
            "memory": f"{2 << 30}b",
            "devices": [{"driver": "nvidia", "count": 2, "capabilities": ["gpu"]}],
        },
    }, "for both instances"  # fmt: skip
    assert one["cpu_shares"] == 512, "half a processor"
    assert one["stop_grace_period"] == "18s" and one["healthcheck"]["start_period"] == "40s"
    (note,) = written.notes
    assert note.startswith("blue: instances.max is not applied: ")


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
    wrong = {"services": {"blue": {"image": "x", "prots": []}}}
    assert any("prots" in line for line in judged("manifests", _JUDGE, [wrong])), "it sees a wrong key"
