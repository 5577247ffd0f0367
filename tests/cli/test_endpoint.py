"""`gantline endpoint` where it cannot. With an engine: tests/builders/engine/test_container.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from gantline.cli import main


@pytest.mark.parametrize(
    "words", [["list"], ["show", "xx"], ["logs", "xx"], ["delete", "xx"], ["invoke", "xx", "--input", "f"]]
)
def test_no_engine(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["endpoint", *words, "--engine-url", f"unix://{tmp_path}/none.sock"]) == 6
    assert "there is no such socket" in capsys.readouterr().err


def test_an_act_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["endpoint"]) == 2
    assert "ACT" in capsys.readouterr().err
