"""Endpoints by records; by an engine's labels: `test_container_place`."""

from __future__ import annotations

from pathlib import Path

import pytest
from gantline.builders.engine.found import everything, record_of
from gantline.builders.engine.record import Deployed, Record, Records

from gantline.errors import Unreachable


def test_by_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    record = Record("one", "process", "", "iris", (Deployed("main", "iris:1"),))
    Records.of_user().put(record)
    said: list[str] = []
    assert everything(say=said.append) == [record] and record_of("one") == record
    assert "there is no such socket" in said[0]
    with pytest.raises(Unreachable, match="there is no such socket"):
        everything(f"unix://{tmp_path}/none.sock")
    with pytest.raises(Unreachable, match="there is no such socket"):
        record_of("two")  # it may be there
