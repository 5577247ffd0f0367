"""Where a run is looked up, and what is kept of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gantline.errors import NotFound, UsageError
from gantline.packages import Package
from gantline.registry.registry import Registry
from gantline.registry.training import Run, read_training

MakePackage = Callable[..., Package]
RUN = "0123456789abcdef0123456789abcdef"


def write_run(root: Path, run: str = RUN) -> Path:
    """A run as MLflow 3 writes it into a directory."""
    experiment = root / "7"
    folder = experiment / run
    for path, text in {
        experiment / "meta.yaml": "experiment_id: '7'\nlifecycle_stage: active\nname: flowers\n",
        experiment / "datasets" / "d1" / "meta.yaml": "name: iris\ndigest: abc1\nsource: '{}'\nsource_type: local\n",
        folder / "meta.yaml": f"run_id: {run}\nrun_name: calm-bear-1\nstatus: 3\nuser_id: ann\n"
        "start_time: 1795867200123\nend_time: 1795867201000\nartifact_uri: file:///srv/a\n",
        folder / "params" / "C": "1.0",
        folder / "params" / "nested" / "depth": "3",
        folder / "metrics" / "accuracy": "1795867200200 0.5 0\n1795867200300 0.9 1\n1795867200400 0.7 1\n",
        folder / "metrics" / "loss": "1795867200200 nan 0\n",
        folder / "tags" / "mlflow.source.git.commit": "c0ffee",
        folder / "tags" / "mlflow.source.git.repoURL": "https://ann:secret@example.org/r.git",
        folder / "tags" / "mlflow.source.name": "train.py",
        folder / "tags" / "team": "blue",
        folder / "inputs" / "i1" / "meta.yaml": "source_type: DATASET\nsource_id: d1\ndestination_type: RUN\n",
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_all_that_a_run_is(tmp_path: Path) -> None:
    found = read_training(RUN, str(write_run(tmp_path)))
    assert found == {
        "run": RUN, "tracking": str(tmp_path), "experiment": "flowers", "name": "calm-bear-1", "status": "FINISHED",
        "user": "ann", "started": "2026-11-28T12:00:00.123000Z", "ended": "2026-11-28T12:00:01.000000Z",
        "artifacts": "file:///srv/a", "params": {"C": "1.0", "nested/depth": "3"},
        "metrics": {"accuracy": 0.7, "loss": "nan"}, "git_commit": "c0ffee", "git_remote": "https://example.org/r.git",
        "source": "train.py", "tags": {"team": "blue"},
        "datasets": [{"name": "iris", "digest": "abc1", "source_type": "local", "source": "{}"}],
    }  # fmt: skip
    json.dumps(found, allow_nan=False)


def test_what_is_said_nearby_and_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_training(RUN) == {}
    write_run(tmp_path / "mlruns")
    assert read_training(RUN)["params"]["C"] == "1.0" and read_training("other") == {}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file://{write_run(tmp_path / 'other', 'run-2')}")
    assert read_training("run-2")["run"] == "run-2"
    with pytest.raises(NotFound, match=f"has no run {RUN}"):
        read_training(RUN)
    with pytest.raises(NotFound, match="is a logged model; give the run that logged it"):
        read_training("m-" + "0" * 32)
    assert read_training(RUN, asked=False) == {}  # a package may say a run of somewhere else


def test_other_words() -> None:
    for uri in ("postgresql://ann:secret@db/mlflow", "databricks"):
        with pytest.raises(UsageError) as caught:
            read_training(RUN, uri)
        assert "secret" not in caught.value.message
    with pytest.raises(UsageError, match="not an MLflow run id"):
        read_training("../../etc", "mlruns")
    assert read_training("../../etc") == {}
    assert Run("x", tags={"a": "b"}).to_json("http://ann:secret@h/") == {
        "run": "x", "tracking": "http://h/", "tags": {"a": "b"}
    }  # fmt: skip


def test_a_version_keeps_it(registry: Registry, make: MakePackage, tmp_path: Path) -> None:
    tracking = str(write_run(tmp_path / "mlruns"))
    version = registry.register(
        make(dataset="files/iris.csv", git_commit="abc", git_dirty=True), run=RUN, tracking=tracking
    )
    assert version.run == RUN and version.training["metrics"]["accuracy"] == 0.7
    assert [v.id for v in registry.list(run=RUN)] == ["iris:1"]
    links = {link.what: link.values for link in registry.trace(version.digest).links}
    assert links["run"] == (f"{RUN} (experiment flowers)",) and links["parameters"] == ("C=1.0, nested/depth=3",)
    assert links["data"] == ("iris abc1", "files/iris.csv")
    assert links["commit"] == ("c0ffee of https://example.org/r.git", "abc with changes")
    with pytest.raises(NotFound, match="has no run"):
        registry.register(make(factor=3), run="0" * 32, tracking=tracking)
    assert len(registry.list()) == 1
