"""The digests that tags were pinned at."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from gantline.builders.image.pins import Pins

from gantline.errors import BadArtefact, UsageError

ONE, OTHER = "sha256:" + "1" * 64, "sha256:" + "2" * 64


def test_set_and_found(tmp_path: Path) -> None:
    pins = Pins(tmp_path / "deep" / "pins.json")
    assert pins.find("a:1") == ""
    pins.set("a:1", ONE)
    pins.set("b:1", OTHER)
    pins.set("a:1", OTHER)
    assert (pins.find("a:1"), pins.find("b:1"), pins.find("c:1")) == (OTHER, OTHER, "")
    assert json.loads(pins.path.read_text()) == {"a:1": OTHER, "b:1": OTHER}
    assert {p.name for p in pins.path.parent.iterdir()} == {"pins.json", "pins.lock"}


def test_two_at_once_lose_nothing(tmp_path: Path) -> None:
    pins = Pins(tmp_path / "pins.json")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: pins.set(f"a:{i}", ONE), range(40)))
    assert len(json.loads(pins.path.read_text())) == 40


def test_edited_wrongly(tmp_path: Path) -> None:
    pins = Pins(tmp_path / "pins.json")
    for text, said in (('{"a:1": "latest"}', "a:1.*mend that line"), ("[]", "JSON object"), ("{", "not JSON")):
        pins.path.write_text(text)
        with pytest.raises(BadArtefact, match=said):
            pins.find("a:1")


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="GANTLINE_HOME"):
        Pins(tmp_path / "file" / "pins.json").set("a", ONE)
