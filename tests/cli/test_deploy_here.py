"""`gantline deploy --to process|docker`: what cannot be meant is said before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gantline.cli import main


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--to", "docker", "-o", "x.yaml"], "-o: with --to docker nothing is written"),
        (["--to", "kubernetes", "--dry-run"], "--dry-run: --to kubernetes applies nothing"),
        (["--to", "kubernetes", "--secrets", "s"], "--secrets: with --to kubernetes it writes no secrets"),
        (["--to", "compose", "--wait-s", "60"], "--wait-s: with --to compose it starts nothing"),
        (["--to", "kserve", "--engine-url", "unix:///x"], "--engine-url: with --to kserve it asks no engine"),
        (["--to", "process", "--secret", "A=bank:token"], "secret bank: key token: secrets/bank/token: no such file"),
        (
            ["--to", "process", "--strict", "--cpu", "1", "--instances", "1-3"],
            "--strict: 2 not applied: main: instances.max",
        ),
        (["--to", "docker", "--engine-url", "unix:///absent.sock"], "unix:///absent.sock: there is no such socket"),
    ],
)
def test_what_is_wrong(
    words: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert main(["deploy", "iris:1", "--name", "iris", *words]) != 0
    out, err = capsys.readouterr()
    assert told in err and err.count("\n") == 1 and not out


def test_several_deployments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path / "home"))
    file = tmp_path / "d.yaml"
    file.write_text(yaml.safe_dump({"endpoint": "iris", "deployments": {"a": {"traffic": 90}, "b": {"traffic": 10}}}))
    assert main(["deploy", "iris:1", "--to", "process", "--file", str(file)]) == 2
    assert "process: one deployment an endpoint" in capsys.readouterr().err
