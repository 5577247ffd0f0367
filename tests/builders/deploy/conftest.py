"""Endpoints as descriptions make them, and those who judge what is written for them."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gantline.builders.deploy.description import Endpoint, ImageName
from gantline.builders.deploy.description_file import read

Make = Callable[..., Endpoint]
DIGEST = "registry.example/iris@sha256:" + "5a" * 32
# everything that can be said of a deployment
FULL: dict[str, Any] = {
    "traffic": 100,
    "instances": {"min": 2, "max": 6, "cpu_percent": 80},
    "resources": {"cpu": "250m", "memory": "1Gi", "cpu_limit": 2, "memory_limit": "2Gi", "gpus": 1},
    "probes": {"readiness": {"period_s": 3}, "startup": {"failures": 20}},
    "environment": {"PRICE": "$5 $(x)", "GANTLINE_ACCESS_LOG": True},
    "secrets": {"TOKEN": {"secret": "bank", "key": "token"}},
    "keys": {"secret": "gate"},
    "drain_s": 2.5,
    "shutdown_s": 10,
    "egress": "all",
}


@pytest.fixture
def endpoint() -> Make:
    """`endpoint(blue={...}, green={...})`."""

    def make(**deployments: dict[str, Any]) -> Endpoint:
        tree = {"endpoint": "iris", "deployments": deployments}
        return read(tree, "here", lambda name, said: ImageName(said or DIGEST))

    return make


def judged(environment: str, program: str, documents: list[dict[str, Any]]) -> list[str]:
    """What a program in another environment says of documents: one line each, empty if it is right."""
    spec = importlib.util.spec_from_file_location("rivals", Path(__file__).parents[3] / "scripts" / "rivals.py")
    assert spec is not None and spec.loader is not None
    rivals = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rivals)
    python = rivals.ensure(environment)
    done = subprocess.run(
        [python, "-c", program], input=json.dumps(documents), capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found
