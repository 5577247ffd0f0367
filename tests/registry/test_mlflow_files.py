"""MLflow's directories: what they hold beside runs, and what is wrong in them. test_training has a whole run."""

from __future__ import annotations

from pathlib import Path

import pytest

from gantline.errors import BadArtefact, UsageError
from gantline.registry.mlflow_files import read_files


def run(root: Path, **files: str) -> Path:
    folder = root / "0" / "r"
    (root / ".trash").mkdir()
    for name, text in {"meta": "run_id: r\nstatus: 1\n", **files}.items():
        path = folder / name.replace("__", "/")
        path = path.with_suffix(".yaml") if name == "meta" else path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_little_is_enough(tmp_path: Path) -> None:
    found = read_files(run(tmp_path), "r")
    assert found is not None and (found.id, found.status, found.experiment) == ("r", "RUNNING", "")
    assert read_files(tmp_path, "other") is None


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"meta": "run_id: ["}, "not YAML"),
        ({"meta": "- a"}, "expected a mapping"),
        ({"metrics__loss": "soon"}, "not a metric"),
        ({"metrics__loss": ""}, "not a metric"),
    ],
)
def test_damage(tmp_path: Path, files: dict[str, str], why: str) -> None:
    with pytest.raises(BadArtefact, match=why) as caught:
        read_files(run(tmp_path, **files), "r")
    assert str(tmp_path) in caught.value.message and "\n" not in caught.value.message


def test_a_metric_of_a_dataset(tmp_path: Path) -> None:
    found = read_files(run(tmp_path, metrics__loss="12 0.5 3 iris abc\n11 0.7 0 iris abc\n"), "r")
    assert found is not None and found.metrics == {"loss": 0.5}


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_files(tmp_path / "none", "r")
