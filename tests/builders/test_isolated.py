"""A conversion in another process: the same answer as in this one, and one line when the process cannot do it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gantline.accelerators.agreement import compare
from gantline.accelerators.script.environment import Environment
from gantline.builders import from_sklearn
from gantline.builders.canonical import canonicalise
from gantline.builders.isolated import Isolated
from gantline.builders.source import Source

from gantline.errors import BadArtefact

HERE = Environment(Path(sys.executable))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("sklearn")
    skops_io = pytest.importorskip("skops.io")
    from sklearn.linear_model import LogisticRegression

    random = np.random.default_rng(0)
    x = random.standard_normal((60, 3))
    model = LogisticRegression().fit(x, np.where(x[:, 0] > 0, "yes", "no"))
    path = tmp_path_factory.mktemp("skops") / "m.skops"
    skops_io.dump(model, path)
    return path


def test_the_same_as_in_this_process(tmp_path: Path, saved: Path) -> None:
    source = Source("m", path=saved, rows=8)
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    near = from_sklearn.convert(source, here)
    child = Isolated(HERE, "m.pkl")
    far: Any = child.convert(source, there)
    for name in ("engine", "type", "model", "versions", "labels", "classes", "reason", "notes", "signature"):
        assert getattr(far, name) == getattr(near, name), name
    for conversion, name in ((near, "near.onnx"), (far, "far.onnx")):
        canonicalise(conversion.files["model.onnx"], tmp_path / name)
    assert (tmp_path / "near.onnx").read_bytes() == (tmp_path / "far.onnx").read_bytes()
    assert near.synthetic is not None
    assert near.predict is not None
    rows = near.synthetic(8)
    assert all(np.array_equal(a, far.synthetic(8)[n]) for n, a in rows.items())
    for a, b in zip(near.predict(rows), far.predict(rows), strict=True):
        assert not compare("", a, b).breach(0.0)  # texts come back as bytes
    child.close()
    with pytest.raises(BadArtefact, match=r"m\.pkl: its environment cannot convert it"):
        far.predict(rows)


def test_errors_come_back_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "bad.skops").write_bytes(b"nothing")
    child = Isolated(HERE, "m.pkl")
    with pytest.raises(BadArtefact, match=r"bad\.skops"):
        child.convert(Source("m", path=tmp_path / "bad.skops"), tmp_path)
    child.close()


def test_an_environment_without_gantline(tmp_path: Path, saved: Path) -> None:
    """The last line of what the process said is in the message."""
    interpreter = tmp_path / "python"
    interpreter.write_text("#!/bin/sh\necho first >&2\necho 'No module named gantline' >&2\nexit 1\n")
    interpreter.chmod(0o755)
    child = Isolated(Environment(interpreter), "m.pkl")
    with pytest.raises(BadArtefact, match=r"m\.pkl: its environment cannot convert it: No module named gantline"):
        child.convert(Source("m", path=saved), tmp_path)
    child.close()
