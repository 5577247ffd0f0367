"""Containers of pods: values as they are, secrets by reference."""

from __future__ import annotations

import re

import pytest
from gantline.builders.deploy.container import container, environment, probe, resources, scraped, volumes
from gantline.builders.deploy.description import Deployment, ImageName, Probe, Resources, SecretKey


def test_environment_is_sorted_and_not_expanded() -> None:
    one = Deployment("blue", ImageName("x"), environment={"Z": "$(A)", "A": "1"}, secrets={"B": SecretKey("s", "k")})
    found = environment(one)
    assert [e["name"] for e in found] == ["A", "GANTLINE_DRAIN_S", "GANTLINE_SHUTDOWN_S", "Z", "B"]
    assert found[3]["value"] == "$$(A)" and found[4]["valueFrom"]["secretKeyRef"] == {"name": "s", "key": "k"}
    assert volumes(one) == [{"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}]


def test_metrics_are_found_where_they_are_open() -> None:
    def told(keys: SecretKey | None = None, **environment: str) -> bool:
        return bool(scraped(Deployment("b", ImageName("x"), environment=environment, keys=keys)))

    gate = SecretKey("gate", "keys.toml")
    assert told() and told(gate, GANTLINE_KEYLESS="health+metrics")
    assert not told(gate) and not told(GANTLINE_NO_METRICS="true") and not told(gate, GANTLINE_KEYLESS="health")


def expanded(value: str) -> str:
    """What Kubernetes makes of a value: `$(A)` is looked up (here: gone), `$$` is one `$`, and any other stays."""
    return re.sub(r"\$\$|\$\([^)]*\)", lambda found: "$" if found[0] == "$$" else "", value)


@pytest.mark.parametrize("value", ["$(A)", "$$", "a$$b", "$$(A)", "$$$(A)", "$5", "$", "a$", "$(", "$$$", "plain"])
def test_what_a_program_gets_is_what_was_said(value: str) -> None:
    (one,) = (e for e in environment(Deployment("b", ImageName("x"), environment={"A": value})) if e["name"] == "A")
    assert expanded(one["value"]) == value


def test_no_limits_unless_said() -> None:
    assert resources(Resources()) == {"requests": {"cpu": "500m", "memory": "512Mi"}}


def test_why_it_ended_is_with_its_pod() -> None:
    one = container(Deployment("b", ImageName("x")), "gantline")
    assert one["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_probes_in_kubernetes_words() -> None:
    assert probe(Probe(1, 2, 3, 4, 5), "/p", 80) == {
        "httpGet": {"path": "/p", "port": 80}, "initialDelaySeconds": 1, "periodSeconds": 2, "timeoutSeconds": 3,
        "failureThreshold": 4, "successThreshold": 5,
    }  # fmt: skip
