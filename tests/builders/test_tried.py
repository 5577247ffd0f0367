"""What a package says of the versions that it was tried with, as real packages are made."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from gantline.accelerators.script.environment import Environment
from gantline.builders import pack
from gantline.builders.source import Source
from gantline.builders.tried import tried_with
from sklearn.linear_model import LinearRegression

from gantline.manifest import EnvironmentRequest, Golden, Manifest, ScriptInfo
from gantline.packages import Package
from gantline.tensors import Array

SCORE = """import json
import yaml
from sklearn.preprocessing import scale

try:
    import not_here
except ImportError:
    not_here = None

def init(): ...

def run(data):
    return len(json.loads(data))
"""


def test_a_model_names_its_engine(tmp_path: Path, diabetes: tuple[Array, Array]) -> None:
    made = pack.pack(Source("m", object=LinearRegression().fit(*diabetes)), tmp_path / "out")
    assert made.manifest.tried == {"numpy": version("numpy"), "onnxruntime": version("onnxruntime")}
    assert Package.open(tmp_path / "out").digest == made.digest


def test_a_script_names_what_it_imports_and_what_that_needs(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "score.py").write_text(SCORE)
    made = pack.pack(Source("m", path=tmp_path / "code"), tmp_path / "out").manifest
    assert made.environment.kind == "current" and made.environment.found == {
        "sklearn": f"scikit-learn=={version('scikit-learn')}",
        "yaml": f"pyyaml=={version('pyyaml')}",
    }
    names = ("numpy", "pyyaml", "scikit-learn", "scipy", "joblib", "threadpoolctl")
    assert {name: made.tried[name] for name in names} == {name: version(name) for name in names}
    assert "pytest" not in made.tried and "gantline" not in made.tried


@pytest.mark.parametrize("text", ["import (", "import helper"])
def test_a_file_that_is_no_python_is_no_reason_to_fail(tmp_path: Path, text: str) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "score.py").write_text("import helper\n" + SCORE)
    (tmp_path / "code" / "helper.py").write_text(text)
    made = pack.pack(Source("m", path=tmp_path / "code"), tmp_path / "out").manifest
    assert ("sklearn" in made.environment.found) is (text == "import helper")


def test_a_script_that_was_not_run_says_nothing(tmp_path: Path) -> None:
    request = EnvironmentRequest("requirements", "", ("numpy",))
    manifest = Manifest("m", "script", script=ScriptInfo("score.py"), environment=request)
    assert tried_with(Package(tmp_path, manifest, None), elsewhere=False) == {}


def test_a_request_of_its_own_that_was_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment that was made for it says what is in it."""
    made = Environment(Path(sys.executable), None, {"numpy": "2.4.6", "own_thing": "1.0+local", "pip": "25.0"})
    monkeypatch.setattr("gantline.builders.tried.prepare", lambda request: made)  # else pip's time
    request = EnvironmentRequest("requirements", "", ("numpy",))
    golden = (Golden("a", "b", "score"),)
    manifest = Manifest("m", "script", script=ScriptInfo("score.py"), environment=request, golden=golden)
    assert tried_with(Package(tmp_path, manifest, None), elsewhere=False) == {"numpy": "2.4.6", "own-thing": "1.0"}
