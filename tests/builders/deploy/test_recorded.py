"""What was written is known to `gantline endpoint`, unless its name is another's."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from gantline.builders.deploy.description import Site
from gantline.builders.deploy.recorded import put, record
from gantline.builders.engine.record import Deployed, Record, Records

from gantline.oci.store import Store

from .conftest import DIGEST, FULL, Make


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path))


def test_a_compose_file(endpoint: Make, tmp_path: Path) -> None:
    two = endpoint(blue={"traffic": 0}, green={**FULL, "image": "r.example/other:1"})
    file = tmp_path / "compose.yaml"
    made = record(two, "compose", file, file, Store(tmp_path / "store"))
    assert (made.place, made.where, made.model) == ("compose", str(file), "iris")
    assert made.keys == str(tmp_path / "secrets" / "gate" / "keys.toml")
    kept = {"path": str(file), "words": []}
    assert made.details == {"service": "green", "port": 8000, "secrets": ["TOKEN"], **kept}
    assert made.deployments == (
        Deployed("blue", DIGEST, traffic=0), Deployed("green", "r.example/other:1", traffic=100),
    )  # fmt: skip
    assert put(made) == "" and Records.of_user().get("iris") == made
    assert put(made) == "", "again"


def test_a_name_that_is_anothers(endpoint: Make, tmp_path: Path) -> None:
    other = Record("iris", "engine", "unix:///x", "iris", (Deployed("main", "iris:1"),))
    Records.of_user().put(other)
    made = record(endpoint(blue={}), "kubernetes", tmp_path, tmp_path / "1.yaml", Store(tmp_path / "store"))
    assert "acts on the one of that name that it knows (engine unix:///x)" in put(made)
    assert Records.of_user().get("iris") == other


def test_a_context_that_was_not_known_then(endpoint: Make, tmp_path: Path) -> None:
    made = record(endpoint(blue={}), "kubernetes", tmp_path, tmp_path / "1.yaml", Store(tmp_path / "store"))
    assert made.where == "" and put(made) == ""
    later = replace(made, where="prod")
    assert put(later) == "" and Records.of_user().get("iris").where == "prod"
    assert "(kubernetes prod), and not on this one" in put(replace(made, where="test"))


_KUBECTL = """#!/bin/sh
case "$*" in
*current-context*) echo prod ;;
*) cat {folder}/namespace ;;
esac
"""


@pytest.mark.skipif(os.name == "nt", reason="programs are shell scripts here")
def test_the_namespace_is_kept(endpoint: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That which was current when it was written first, also when another is current since."""
    (tmp_path / "kubectl").write_text(_KUBECTL.format(folder=tmp_path))
    (tmp_path / "kubectl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")

    def made(**said: str) -> Record:
        one = endpoint(blue={})
        one = replace(one, site=Site(**said))
        return record(one, "kubernetes", tmp_path, tmp_path / "1.yaml", Store(tmp_path / "store"))

    (tmp_path / "namespace").write_text("")
    assert made().details["namespace"] == "default"
    (tmp_path / "namespace").write_text("team")
    assert put(made()) == "" and Records.of_user().get("iris").details["namespace"] == "team"
    (tmp_path / "namespace").write_text("other")
    assert put(made()) == "" and Records.of_user().get("iris").details["namespace"] == "team"
    assert "(kubernetes prod, namespace team), and not on this one" in put(made(namespace="other"))


def test_a_record_that_cannot_be_read(endpoint: Make, tmp_path: Path) -> None:
    """The files are written by then: it is said, and is no failure."""
    made = record(endpoint(blue={}), "kubernetes", tmp_path, tmp_path / "1.yaml", Store(tmp_path / "store"))
    (Records.of_user().made("iris") / "endpoint.json").write_text("{")
    assert "written, and `gantline endpoint` does not know of it" in put(made) and "not JSON" in put(made)
