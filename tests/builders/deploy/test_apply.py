"""Applying a description; with real images in tests/conformance/test_deploy.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from gantline.builders.deploy.apply import Order, apply
from gantline.builders.engine.record import Deployed, Record, Records

from gantline.errors import UsageError

from .conftest import Make


def test_a_name_that_runs_elsewhere(endpoint: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path / "home"))
    Records.of_user().put(Record("iris", "compose", "/x/compose.yaml", "iris", (Deployed("main", "iris:1"),)))
    order = Order(
        "process", lambda ref, on: pytest.fail("brought"), lambda file: None, tmp_path, "", 1.0, lambda line: None
    )
    with pytest.raises(UsageError, match=r"runs elsewhere \(compose /x/compose.yaml\); `gantline endpoint delete"):
        apply(endpoint(blue={}), order, dry_run=True)
