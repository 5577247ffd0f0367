"""Single: a deployment where one container has the published port: its instances are that one's processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gantline.builders.image import places

from . import quantity
from .description import Deployment, Instances, Probes, Resources

HEALTHY = ("CMD", places.interpreter(places.ENVIRONMENT), "-m", "gantline.cli.contained", "--healthy")
SECRETS = "secrets"  # a folder: SECRET/KEY in it is what a reference to a secret means
WORKERS = "GANTLINE_WORKERS"
_SHARES = 1024  # of one processor, for an engine


def single(one: Deployment) -> Deployment:
    """The same as one container: as many workers as instances, and resources for all of them."""
    count = one.instances.low
    if count == 1 or WORKERS in one.environment:
        return replace(one, instances=Instances())
    environment = {**one.environment, WORKERS: str(count)}
    return replace(one, instances=Instances(), environment=environment, resources=_times(one.resources, count))


def left_out(one: Deployment) -> Iterator[str]:
    """What a container on one machine has no place for: KEY is not applied: WHY."""
    if one.instances.high > 1 and WORKERS in one.environment:
        yield f"instances is not applied: {WORKERS} says how many processes there are"
    elif one.instances.high > one.instances.low:
        yield f"instances.max is not applied: nothing here starts more by their load; there are {one.instances.low}"
    if one.egress is False:
        yield "egress is not applied: a network that is closed publishes no port either"
    if one.probes.readiness.successes > 1:
        yield "probes.readiness.successes is not applied: an engine takes the first answer"
    if one.probes.liveness != Probes().liveness:
        yield "probes.liveness is not applied: an engine restarts what ends, not what answers no more"


def patience_s(probes: Probes) -> int:
    """Seconds in which an engine minds no failure: until it would have started."""
    startup = probes.startup
    return probes.readiness.initial_delay_s + startup.initial_delay_s + startup.period_s * startup.failures


def shares(cpu: str) -> int:
    """Of the processors, where they are scarce."""
    return max(2, int(quantity.value(cpu) * _SHARES))


def _times(one: Resources, count: int) -> Resources:
    return Resources(
        _product(one.cpu, count), _product(one.memory, count), _product(one.cpu_limit, count),
        _product(one.memory_limit, count), one.gpus * count, _product(one.tmp, count),
    )  # fmt: skip


def _product(text: str, count: int) -> str:
    return f"{(quantity.value(text) * count).normalize():f}" if text else ""
