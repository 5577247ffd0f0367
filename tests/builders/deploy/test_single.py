"""One container for all instances of a deployment, and what it has no place for."""

from __future__ import annotations

from typing import Any

import pytest
from gantline.builders.deploy.description import Instances
from gantline.builders.deploy.single import left_out, single

from .conftest import FULL, Make


def test_instances_are_processes(endpoint: Make) -> None:
    (blue,) = endpoint(blue=FULL).deployments
    one = single(blue)
    assert one.instances == Instances() and one.environment["GANTLINE_WORKERS"] == "2"
    found = one.resources
    assert (found.cpu, found.memory, found.cpu_limit, found.memory_limit, found.gpus) == (
        "0.5", f"{2 << 30}", "4", f"{4 << 30}", 2,
    )  # fmt: skip
    (plain,) = endpoint(blue={}).deployments
    assert single(plain) == plain


@pytest.mark.parametrize(
    ("said", "keys"),
    [
        ({"instances": 3}, []),
        ({"instances": {"min": 1, "max": 3}}, ["instances.max"]),
        ({"instances": 3, "environment": {"GANTLINE_WORKERS": 4}}, ["instances"]),
        ({"egress": "none"}, ["egress"]),
        ({"probes": {"readiness": {"successes": 2}}}, ["probes.readiness.successes"]),
        ({"probes": {"readiness": {"period_s": 1}, "startup": {"failures": 9}}}, []),
        ({"probes": {"liveness": {"period_s": 1}}}, ["probes.liveness"]),
    ],
)
def test_what_is_left_out(endpoint: Make, said: dict[str, Any], keys: list[str]) -> None:
    (one,) = endpoint(blue=said).deployments
    assert [line.partition(" is not applied: ")[0] for line in left_out(one)] == keys
