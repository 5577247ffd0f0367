"""Descriptions as files: what is not known fails, with the nearest word that is."""

from __future__ import annotations

from typing import Any

import pytest
from gantline.builders.deploy import compose, kserve, kubernetes
from gantline.builders.deploy.description import ImageName, Instances
from gantline.builders.deploy.description_file import read

from gantline.errors import UsageError

from .conftest import FULL, Make


def test_little_is_enough(endpoint: Make) -> None:
    (one,) = endpoint(blue={}).deployments
    assert (one.traffic, one.instances, one.keys, one.egress) == (100, Instances(1, 1), None, None)


def test_all_that_can_be_said(endpoint: Make) -> None:
    (one,) = endpoint(blue=FULL).deployments
    assert one.instances == Instances(2, 6, 80) and one.keys is not None and one.keys.key == "keys.toml"
    assert one.environment["GANTLINE_ACCESS_LOG"] == "true" and one.egress is True


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"trafic": 1}, "here: deployments: blue: unknown setting 'trafic'; did you mean 'traffic'"),
        ({"traffic": 101}, "traffic: expected a whole number from 0 to 100, found 101"),
        ({"instances": True}, "instances: expected a whole number"),
        ({"instances": {"min": 0}}, "instances: min"),
        ({"probes": {"readiness": {"path": "/x"}}}, "readiness: unknown setting 'path'"),
        ({"environment": {"A": None}}, "environment: A: expected text"),
        ({"environment": ["A"]}, "environment: expected keys and values"),
        ({"drain_s": -1}, "drain_s: expected seconds from 0 to 3600"),
        ({"egress": "some"}, "egress: 'some' is neither none nor all"),
        ({"keys": {"key": "x"}}, "here: deployments: blue: keys: secret ''"),
        ({"resources": {"cpu": 0}}, "here: deployments: blue: resources: cpu: '0' is no number"),
        ({"instances": {"min": 3, "max": 2}}, "here: deployments: blue: instances: min 3 is more than max 2"),
        ({"probes": {"liveness": {"successes": 2}}}, "here: deployments: blue: probes: successes of startup"),
    ],
)
def test_what_does_not_fit(endpoint: Make, said: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        endpoint(blue=said)


def test_a_name_that_is_missing() -> None:
    with pytest.raises(UsageError, match="here: endpoint: its name is missing"):
        read({"deployments": {"blue": {}}}, "here", lambda n, s: ImageName("x"))


def test_where_it_is_published(endpoint: Make) -> None:
    assert (endpoint(blue={}).port, endpoint(blue={}).grpc_port) == (8000, 8001)
    found = read({"endpoint": "iris", "port": 9000, "deployments": {"blue": {}}}, "here", lambda n, s: ImageName("x"))
    assert (found.port, found.grpc_port) == (9000, 9001)
    (tree,) = compose.write(found).documents.values()
    assert tree["services"]["blue"]["ports"] == ["127.0.0.1:9000:8000", "127.0.0.1:9001:8001"]
    service = next(iter(kubernetes.write(found).documents.values()))
    assert [(p["port"], p["targetPort"]) for p in service["spec"]["ports"]] == [(9000, "http"), (9001, "grpc")]
    assert "port is not applied" in kserve.write(found).notes[0]
