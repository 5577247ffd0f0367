"""Targets: the one table of what can be written for."""

from __future__ import annotations

from collections.abc import Callable

from . import compose, kserve, kubernetes
from .description import Endpoint
from .documents import Written

TARGETS: dict[str, Callable[[Endpoint], Written]] = {
    "compose": compose.write,
    "kubernetes": kubernetes.write,
    "kserve": kserve.write,
}
