"""From an entry to a session that may serve: settings, batching, and what refuses it."""

from __future__ import annotations

from pathlib import Path

import pytest
from gantline.serve.entry import Entry
from gantline.serve.opening import DEFAULT_MAX_ROWS, open_version

import gantline
from gantline.errors import BadArtefact, UsageError, VerificationFailed
from gantline.manifest import Manifest, ScriptInfo
from gantline.packages import Package
from gantline.settings import ServeSettings, resolve

SCRIPT = """
import os

def init():
    global count
    count = 0

def run(data):
    global count
    count += 1
    return {"times": count if os.environ.get("COUNTING") else 1}
"""


def entry(path: Path, name: str = "m") -> Entry:
    return Entry(name, "1", Package.bare(path, name))


def test_rows_are_stacked_only_where_they_are_independent(zoo: Path) -> None:
    rows = {}
    for name in ("double", "lookup", "positive", "centre", "toil"):
        opened = open_version(entry(zoo / f"{name}.onnx", name), resolve(ServeSettings, {}, {}))
        rows[name] = opened.tuning.policy.max_rows
        opened.session.close()
    assert rows == {"double": DEFAULT_MAX_ROWS, "lookup": DEFAULT_MAX_ROWS, "positive": 0, "centre": 0, "toil": 0}


def test_an_entry_with_a_problem_says_it() -> None:
    with pytest.raises(BadArtefact, match=r"^bad: no model\.onnx$"):
        open_version(Entry("bad", "1", None, problem="bad: no model.onnx"), resolve(ServeSettings, {}, {}))


def test_a_file_that_is_not_what_the_manifest_lists(zoo: Path, tmp_path: Path) -> None:
    package = gantline.package(zoo / "double.onnx", name="m", output=tmp_path / "m.pkg")
    (package.path / "model.onnx").write_bytes((zoo / "lookup.onnx").read_bytes())
    with pytest.raises(VerificationFailed, match=r"model\.onnx: "):
        open_version(Entry("m", "1", package), resolve(ServeSettings, {}, {}))


def test_a_script_gets_its_sample_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replayed, and not sent again to warm up: what a script does with a body may have effects."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code/score.py").write_text(SCRIPT)
    (tmp_path / "body.json").write_text("{}")
    package = gantline.package(
        script=tmp_path / "code/score.py", sample=tmp_path / "body.json", name="s", output=tmp_path / "s.pkg"
    )
    monkeypatch.setenv("COUNTING", "1")
    opened = open_version(Entry("s", "1", package), resolve(ServeSettings, {}, {}))
    try:
        found = opened.session.engine.score(b"{}", "application/json")  # type: ignore[attr-defined]
        assert found.body == b'{"times": 2}'
    finally:
        opened.session.close()


def test_a_script_that_answers_otherwise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code/score.py").write_text(SCRIPT.replace("= 0", "= 41"))
    (tmp_path / "body.json").write_text("{}")
    package = gantline.package(
        script=tmp_path / "code/score.py", sample=tmp_path / "body.json", name="s", output=tmp_path / "s.pkg"
    )
    monkeypatch.setenv("COUNTING", "1")
    with pytest.raises(VerificationFailed, match=r"\$\.times: expected 1, got 42"):
        open_version(Entry("s", "1", package), resolve(ServeSettings, {}, {}))
    opened = open_version(Entry("s", "1", package), resolve(ServeSettings, {"no_replay": "true"}, {}))
    opened.session.close()


def test_no_pickle_refuses_before_anything_runs(tmp_path: Path) -> None:
    manifest = Manifest(name="s", engine="script", script=ScriptInfo("score.py", pickles=("model.pkl",)))
    with pytest.raises(UsageError, match=r"'s': its script unpickles model\.pkl; --no-pickle refuses that"):
        open_version(Entry("s", "1", Package(tmp_path, manifest, None)), resolve(ServeSettings, {"no_pickle": "1"}, {}))
