"""Endpoints of a container engine that does not answer; with one: `test_container`."""

from __future__ import annotations

from pathlib import Path

import pytest
from gantline.builders.engine.container_place import ContainerPlace
from gantline.builders.engine.record import Deployed, Record

from gantline.errors import Unreachable


def test_an_engine_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path))
    place = ContainerPlace(f"unix://{tmp_path}/none.sock")
    record = Record("one", "engine", place.where, "iris", (Deployed("main", "iris:1"),))
    found = place.status(record)
    assert found.state == "unreachable" and "there is no such socket" in found.why
    with pytest.raises(Unreachable):
        place.delete(record)
    assert place.keys(record) == tmp_path / "endpoints" / "one" / "keys"
    place.close()
