"""DescriptionFile: a description as YAML, in Gantline's own words; docs/deploy.md lists them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gantline.builders.image.settings import HTTP

from gantline.errors import UsageError

from .description import (
    DRAIN_S,
    KEYS_FILE,
    SHUTDOWN_S,
    Deployment,
    Endpoint,
    ImageName,
    Instances,
    Probe,
    Probes,
    Resources,
    SecretKey,
    Site,
)  # fmt: skip
from .fields import Fields

_TOP = ("endpoint", "port", "namespace", "pull_secret", "gateway", "hostname", "deployments")
_KEYS = (
    "image", "traffic", "instances", "resources", "probes", "environment", "secrets", "keys", "drain_s", "shutdown_s",
    "egress",
)  # fmt: skip
_PROBE = ("initial_delay_s", "period_s", "timeout_s", "failures", "successes")
_MOST = 10_000


def read(tree: Any, where: str, image: Callable[[str, str], ImageName]) -> Endpoint:
    """The endpoint that a file says. `image` is asked with a deployment's name and what is said of its image."""
    top = Fields(tree, where, _TOP)
    inner = top.part("deployments")
    alone = len(inner.tree) == 1
    found = tuple(_deployment(name, inner, alone, image) for name in inner.tree)
    if not top.text("endpoint"):
        raise UsageError(f"{where}: endpoint: its name is missing")
    port = top.whole("port", HTTP, 1, 65534)
    with top.placed():
        site = Site(*(top.text(key) for key in ("namespace", "pull_secret", "gateway", "hostname")))
        return Endpoint(top.text("endpoint"), found, port, site)


def _deployment(name: str, above: Fields, alone: bool, image: Callable[[str, str], ImageName]) -> Deployment:
    one = above.part(name, _KEYS)
    return Deployment(
        name=name,
        image=image(name, one.text("image")),
        traffic=one.whole("traffic", 100 if alone else 0, 0, 100),
        instances=_instances(one),
        resources=_resources(one),
        probes=_probes(one),
        environment=one.variables("environment"),
        secrets={n: _secret(one.part("secrets").part(n, ("secret", "key")), "") for n in one.part("secrets").tree},
        keys=_secret(one.part("keys", ("secret", "key")), KEYS_FILE) if one.tree.get("keys") is not None else None,
        drain_s=one.seconds("drain_s", DRAIN_S),
        shutdown_s=one.seconds("shutdown_s", SHUTDOWN_S),
        egress=_egress(one),
    )


def _instances(one: Fields) -> Instances:
    if not isinstance(one.tree.get("instances", 1), dict):
        count = one.whole("instances", 1, 1, _MOST)
        return Instances(count, count)
    inner = one.part("instances", ("min", "max", "cpu_percent"))
    low = inner.whole("min", 1, 1, _MOST)
    high, percent = inner.whole("max", low, 1, _MOST), inner.whole("cpu_percent", 70, 1, 100)
    with one.placed():
        return Instances(low, high, percent)


def _resources(one: Fields) -> Resources:
    inner = one.part("resources", ("cpu", "memory", "cpu_limit", "memory_limit", "gpus", "tmp"))
    cpu, memory, cpu_limit, memory_limit = (inner.text(key) for key in ("cpu", "memory", "cpu_limit", "memory_limit"))
    gpus = inner.whole("gpus", 0, 0, 64)
    with one.placed():
        return Resources.of(cpu, memory, cpu_limit, memory_limit, gpus, inner.text("tmp"))


def _probes(one: Fields) -> Probes:
    usual = Probes()
    inner = one.part("probes", ("startup", "readiness", "liveness"))
    startup = _probe(inner.part("startup", _PROBE), usual.startup)
    readiness = _probe(inner.part("readiness", _PROBE), usual.readiness)
    liveness = _probe(inner.part("liveness", _PROBE), usual.liveness)
    with one.placed():
        return Probes(startup, readiness, liveness)


def _probe(one: Fields, usual: Probe) -> Probe:
    return Probe(
        initial_delay_s=one.whole("initial_delay_s", usual.initial_delay_s, 0, 86400),
        period_s=one.whole("period_s", usual.period_s, 1, 3600),
        timeout_s=one.whole("timeout_s", usual.timeout_s, 1, 3600),
        failures=one.whole("failures", usual.failures, 1, 10_000),
        successes=one.whole("successes", usual.successes, 1, 100),
    )


def _secret(one: Fields, key: str) -> SecretKey:
    secret, key = one.text("secret"), one.text("key", key)
    with one.placed():
        return SecretKey(secret, key)


def _egress(one: Fields) -> bool | None:
    text = one.text("egress")
    if text not in ("", "none", "all"):
        raise UsageError(f"{one.where}: egress: {text!r:.60} is neither none nor all")
    return {"": None, "none": False, "all": True}[text]
