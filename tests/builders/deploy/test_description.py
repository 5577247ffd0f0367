"""Descriptions: names that every platform takes, traffic that adds up, settings that a server would take."""

from __future__ import annotations

from typing import Any

import pytest
from gantline.builders.deploy.description import Deployment, Endpoint, ImageName, Instances, Resources, SecretKey

from gantline.errors import UsageError

IMAGE = ImageName("r.example/x@sha256:" + "0" * 64)


@pytest.mark.parametrize("name", ["", "Iris", "1ris", "-iris", "iris-", "i_s", "a" * 64, "iris\n"])
def test_names_are_dns_labels(name: str) -> None:
    with pytest.raises(UsageError, match="lower-case letters, digits and '-'"):
        Endpoint(name, (Deployment("blue", IMAGE),))
    with pytest.raises(UsageError, match="lower-case letters, digits and '-'"):
        Deployment(name, IMAGE)


def test_names_together() -> None:
    with pytest.raises(UsageError, match="endpoint and deployment together"):
        Endpoint("a" * 40, (Deployment("b" * 40, IMAGE),))


def test_traffic_adds_up() -> None:
    with pytest.raises(UsageError, match="adds up to 90"):
        Endpoint("iris", (Deployment("blue", IMAGE, traffic=90), Deployment("green", IMAGE, traffic=0)))
    with pytest.raises(UsageError, match="'blue' is there twice"):
        Endpoint("iris", (Deployment("blue", IMAGE, traffic=50), Deployment("blue", IMAGE, traffic=50)))
    with pytest.raises(UsageError, match="no deployment"):
        Endpoint("iris", ())


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"GANTLINE_LOG_LEVL": "debug"}, "unknown setting 'GANTLINE_LOG_LEVL'; did you mean 'GANTLINE_LOG_LEVEL'"),
        ({"GANTLINE_LOG_LEVEL": "loud"}, "GANTLINE_LOG_LEVEL"),
        ({"PORT": "80"}, "PORT is set by what the description itself says"),
        ({"A B": "x"}, "no name of a variable"),
        ({"GANTLINE_KEYLESS": "nothing"}, "GANTLINE_KEYLESS: probes have no key"),
        ({"GANTLINE_TLS_CERTIFICATE": "/tls/c.pem"}, "GANTLINE_TLS_CERTIFICATE: probes ask plain HTTP"),
    ],
)
def test_what_the_server_would_refuse(variables: dict[str, str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        Deployment("blue", IMAGE, environment=variables)


def test_bounds() -> None:
    wrong: list[Any] = [
        lambda: Resources(cpu="2", cpu_limit="500m"),
        lambda: Resources(memory="2Gi", memory_limit="1Gi"),
        lambda: Instances(3, 2),
        lambda: SecretKey("No", "key"),
        lambda: SecretKey("a..b", "key"),
        lambda: SecretKey("a" * 254, "key"),
        lambda: SecretKey("yes", "a/b"),
        lambda: SecretKey("yes", ".."),
        lambda: SecretKey("yes", "."),
        lambda: SecretKey("yes", "..data"),
        lambda: Deployment("blue", IMAGE, environment={"A": "1"}, secrets={"A": SecretKey("s", "k")}),
    ]
    for make in wrong:
        with pytest.raises(UsageError):
            make()


def test_secrets_that_kubernetes_takes() -> None:
    for name, key in (("a.b-c", ".dotted"), ("a" * 253, "a..b"), ("1", "KEY_1")):
        assert SecretKey(name, key).key == key


def test_a_limit_below_the_usual_is_what_is_asked_for() -> None:
    assert Resources.of() == Resources()
    assert Resources.of(cpu_limit="200m", memory_limit="1Gi") == Resources("200m", "512Mi", "200m", "1Gi")
    assert Resources.of(memory_limit="256Mi").memory == "256Mi"
    with pytest.raises(UsageError, match="memory_limit 256Mi is less than the 1Gi that are asked for"):
        Resources.of(memory="1Gi", memory_limit="256Mi")
    with pytest.raises(UsageError, match="resources: memory_limit: 'much'"):
        Resources.of(memory_limit="much")


def test_grace() -> None:
    assert Deployment("blue", IMAGE, drain_s=0.5, shutdown_s=1).grace_s == 7
