"""`gantline run` where it cannot: one line, and the way out. With an engine: tests/builders/engine/."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gantline.cli import main


def test_no_engine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "iris", "--engine-url", f"unix://{tmp_path}/none.sock", "--json"]) == 6
    assert (
        "there is no such socket; start Docker, or `podman system service"
        in json.loads(capsys.readouterr().out)["error"]
    )


@pytest.mark.parametrize("words", [["--port", "70000"], ["--wait-s", "long"], ["--grpc-port", "-1"]])
def test_flags_that_make_no_sense(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "iris", *words]) == 2
    assert words[0] in capsys.readouterr().err
