"""What changes something that files describe: the whole command that wrote them, not one that forgets half."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from gantline.builders.deploy.cluster_place import ClusterPlace
from gantline.builders.deploy.compose_place import ComposePlace
from gantline.builders.deploy.recorded import record
from gantline.builders.deploy.written_place import again
from gantline.builders.engine.place import Change
from gantline.builders.engine.record import Record

from gantline.errors import Unsupported
from gantline.oci.store import Store

from .conftest import FULL, Make

WORDS = ("--env", "A=1", "--env", "B=x y", "--keys-secret", "gate", "--by-tag")


def made(endpoint: Make, folder: Path, target: str, *words: str) -> Record:
    path = folder / "out"
    return record(endpoint(blue=FULL), target, path, path / "1.yaml", Store(folder / "store"), words)


def told(place: ComposePlace | ClusterPlace, of: Record, ref: str = "", **variables: str | None) -> str:
    with pytest.raises(Unsupported) as e:
        place.update(of, Change(ref, lambda ref, on: pytest.fail("brought"), variables))
    return e.value.message


def test_the_command_keeps_what_was_said(endpoint: Make, tmp_path: Path) -> None:
    of = made(endpoint, tmp_path, "compose", *WORDS)
    line = told(ComposePlace(of.where), of, "r.example/iris:2", A=None, C="3")
    command = shlex.split(line.split("`")[1])
    assert command == [
        "gantline", "deploy", "r.example/iris:2", "--to", "compose", "--env", "B=x y", "--keys-secret", "gate",
        "--by-tag", "--env", "C=3", "--overwrite", "-o", str(tmp_path / "out"),
    ]  # fmt: skip
    assert line.endswith(f"then `docker compose --project-name iris -f {of.where} up --wait --remove-orphans`")


def test_a_description_in_a_file(endpoint: Make, tmp_path: Path) -> None:
    of = made(endpoint, tmp_path, "kubernetes", "--file", "/d.yaml")
    of = replace(of, where="there")
    of.details["namespace"] = "prod"
    line = told(ClusterPlace("there"), of, "r.example/iris:2", A="1")
    assert "write the variables into /d.yaml, then `gantline deploy" in line and "--image blue=r.example/iris:2" in line
    assert line.endswith(f"`kubectl --context there --namespace prod apply -f {tmp_path / 'out'}`")


def test_keys(endpoint: Make, tmp_path: Path) -> None:
    of = made(endpoint, tmp_path, "compose")
    with pytest.raises(Unsupported, match="its keys are in a file that is read again when it changes"):
        ComposePlace(of.where).keys(of)


def test_the_words_of_what_a_file_describes() -> None:
    words = ["--file", "/d.yaml", "--image", "blue=a:1", "--image", "green=b:1"]
    change = Change("a:2", lambda ref, on: pytest.fail("brought"))
    assert again(words, change, "blue=a:2") == ["--file", "/d.yaml", "--image", "green=b:1", "--image", "blue=a:2"]
