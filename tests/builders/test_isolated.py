"""A conversion in another process: one line when it cannot. That it can: test_from_pickle, an older scikit-learn."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from gantline.accelerators.script.environment import Environment
from gantline.builders.isolated import Isolated
from gantline.builders.source import Source

from gantline.errors import BadArtefact

HERE = Environment(Path(sys.executable))


def test_errors_come_back_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "bad.skops").write_bytes(b"nothing")
    child = Isolated(HERE, "m.pkl")
    with pytest.raises(BadArtefact, match=r"bad\.skops"):
        child.convert(Source("m", path=tmp_path / "bad.skops"), tmp_path)
    child.close()
    with pytest.raises(BadArtefact, match="its process was closed"):
        child.convert(Source("m", path=tmp_path / "bad.skops"), tmp_path)


def test_an_environment_without_gantline(tmp_path: Path) -> None:
    """The last line of what the process said is in the message."""
    interpreter = tmp_path / "python"
    interpreter.write_text("#!/bin/sh\necho first >&2\necho 'No module named gantline' >&2\nexit 1\n")
    interpreter.chmod(0o755)
    child = Isolated(Environment(interpreter), "m.pkl")
    with pytest.raises(BadArtefact, match=r"m\.pkl: its environment cannot convert it: No module named gantline"):
        child.convert(Source("m", path=tmp_path / "m.skops"), tmp_path)
    child.close()
