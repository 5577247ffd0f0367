"""Compose files as endpoints; an engine's compose runs them in tests/conformance/test_deploy.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from gantline.builders.deploy.compose_place import ComposePlace
from gantline.builders.deploy.recorded import record
from gantline.builders.engine.place import Change, place_of

from gantline.errors import Unsupported
from gantline.oci.store import Store

from .conftest import FULL, Make


def test_without_a_compose(endpoint: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    file = tmp_path / "compose.yaml"
    found = record(endpoint(blue=FULL), "compose", file, file, Store(tmp_path / "store"))
    place = place_of(found)
    assert isinstance(place, ComposePlace)
    assert place.status(found).state == "gone", "no file"
    file.touch()
    status = place.status(found)
    assert status.state == "unreachable" and "no compose here" in status.why
    with pytest.raises(Unsupported, match=r"docker compose --project-name iris -f .*compose.yaml up"):
        place.delete(found)
    with pytest.raises(Unsupported, match="--to compose --overwrite -o "):
        place.update(found, Change("", lambda ref, on: pytest.fail("brought")))
    with pytest.raises(Unsupported, match=rf"gantline keys rotate --keys {tmp_path}/secrets/gate/keys.toml"):
        place.keys(found)
    file.unlink()
    place.delete(found)
