"""Places by their kinds, and what a change comes to."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
from gantline.builders.engine.place import PLACES, Change, place_of
from gantline.builders.engine.record import Deployed, Record
from gantline.builders.engine.subject import Subject

from gantline.errors import BadArtefact, NotFound
from gantline.oci.platforms import Platform


def never(ref: str, platform: Platform) -> Subject:
    raise AssertionError(ref)


def test_each_kind_is_a_class_that_does_all() -> None:
    for named in PLACES.values():
        module, _, kind = named.partition(":")
        found = getattr(import_module(module), kind)
        for act in ("status", "logs", "update", "keys", "delete", "close"):
            assert callable(getattr(found, act)), named


def test_a_kind_of_another_version() -> None:
    with pytest.raises(BadArtefact, match="endpoint one: runs in a place of the kind 'moon'"):
        place_of(Record("one", "moon", "", "iris", ()))


def test_variables_are_set_and_taken_out() -> None:
    change = Change("", never, {"A": "2", "B": None, "C": "3"})
    assert change.applied({"A": "1", "B": "1", "D": "4"}) == {"A": "2", "D": "4", "C": "3"}


def test_without_a_name_it_is_the_very_image_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path))
    manifest = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": f"sha256:{'0' * 64}", "size": 2}
    record = Record("one", "process", "", "iris", (Deployed("main", "iris:1"),), details={"manifest": manifest})
    with pytest.raises(NotFound, match=r"image iris:1: sha256:0{64} is not in .* any more; name an image"):
        Change("", never).subject(record, Platform("linux", "amd64"))
