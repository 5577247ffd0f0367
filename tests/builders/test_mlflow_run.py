"""The run beside a model: folders and SQLite as MLflow's stores write them, and stores that are none or hostile."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from gantline.builders.mlflow_run import DATABASE, LONGEST, MOST, run_of

from gantline.registry import mlflow_database

RUN = "d23d26e296d342b2884f4d1b1e6fb3dd"
WANT = {
    "run_git_commit": "abc123", "run_git_remote": "https://example.com/r.git", "run_name": "first", "run_user": "ann",
    "params": '{"deep/er": "2", "depth": "ünï"}', "dataset": "houses (119d9e00, local)",
}  # fmt: skip
TAGS = {
    "mlflow.source.git.commit": "abc123", "mlflow.source.git.repoURL": "https://ann:secret@example.com/r.git",
    "mlflow.runName": "first", "mlflow.user": "ann", "other": "x",
}  # fmt: skip
PARAMS = {"depth": "ünï", "deep/er": "2"}


def folders(root: Path, model: str = f"{RUN}/artifacts/model") -> Path:
    """EXPERIMENT/RUN with its files, and a model's directory below the experiment."""
    run = root / "1" / RUN
    for folder, values in (("params", PARAMS), ("tags", TAGS)):
        for name, value in values.items():
            path = run / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(value + "\n")
    (run / "meta.yaml").write_text(f"run_id: {RUN}\n")
    data, used = root / "1/datasets/d1", run / "inputs/i1"
    for place, text in ((data, "name: houses\ndigest: 119d9e00\nsource_type: local\n"), (used, "source_id: d1\n")):
        place.mkdir(parents=True)
        (place / "meta.yaml").write_text(text)
    place = root / "1" / model
    place.mkdir(parents=True, exist_ok=True)
    return place


def database(root: Path, *statements: str) -> Path:
    """A store as MLflow 3 makes it when nobody says another, in the columns that are read."""
    with closing(sqlite3.connect(root / DATABASE)) as store, store:
        store.executescript(
            "CREATE TABLE runs (run_uuid TEXT, name TEXT, status TEXT, user_id TEXT, start_time BIGINT,"
            " end_time BIGINT, artifact_uri TEXT, experiment_id INTEGER);"
            "CREATE TABLE experiments (experiment_id INTEGER, name TEXT);"
            "CREATE TABLE params (key TEXT, value TEXT, run_uuid TEXT);"
            "CREATE TABLE latest_metrics (key TEXT, value FLOAT, is_nan BOOLEAN, run_uuid TEXT);"
            "CREATE TABLE tags (key TEXT, value TEXT, run_uuid TEXT);"
            "CREATE TABLE datasets (dataset_uuid TEXT, name TEXT, digest TEXT, dataset_source_type TEXT,"
            " dataset_source TEXT);"
            "CREATE TABLE inputs (source_type TEXT, source_id TEXT, destination_type TEXT, destination_id TEXT);"
        )
        store.execute("INSERT INTO runs (run_uuid) VALUES (?)", (RUN,))
        store.executemany("INSERT INTO params VALUES (?, ?, ?)", [(k, v, RUN) for k, v in PARAMS.items()])
        store.executemany("INSERT INTO tags VALUES (?, ?, ?)", [(k, v, RUN) for k, v in TAGS.items()])
        store.execute("INSERT INTO datasets VALUES ('d1', 'houses', '119d9e00', 'local', '{}')")
        store.execute("INSERT INTO inputs VALUES ('DATASET', 'd1', 'RUN', ?)", (RUN,))
        for statement in statements:
            store.execute(statement)
    place = root / "mlruns/1/models/m-1/artifacts"
    place.mkdir(parents=True)
    return place


@pytest.mark.parametrize("model", [f"{RUN}/artifacts/model", "models/m-1/artifacts"])
def test_a_store_of_folders(tmp_path: Path, model: str) -> None:
    assert run_of(folders(tmp_path, model), RUN) == WANT


def test_a_store_in_sqlite(tmp_path: Path) -> None:
    assert run_of(database(tmp_path), RUN) == WANT


@pytest.mark.parametrize("make", [folders, database])
def test_a_model_elsewhere_or_of_another_run_has_none(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    place = make(tmp_path / "store" if make is folders else tmp_path)
    assert run_of(place, "0" * 32) == {} and run_of(place, "") == {} and run_of(place, f"../{RUN}") == {}
    (tmp_path / "copied").mkdir()
    if make is folders:
        assert run_of(tmp_path / "copied", RUN) == {}


def test_what_is_damaged_is_left_out(tmp_path: Path) -> None:
    place = folders(tmp_path)
    run = tmp_path / "1" / RUN
    (run / "inputs/i1/meta.yaml").write_text("source_id: ../../elsewhere\n")
    (run / "inputs/i2").mkdir()
    (run / "inputs/i2/meta.yaml").write_text("[")
    (run / "params/depth").write_bytes(b"\xff" + b"x" * 100_000)
    (tmp_path / "secret").write_text("secret")
    (run / "tags/mlflow.runName").unlink()
    (run / "tags/mlflow.runName").symlink_to(tmp_path / "secret")
    found = run_of(place, RUN)
    assert "dataset" not in found and "run_name" not in found
    assert len(json.loads(found["params"])["depth"]) == LONGEST


def test_a_database_that_is_none_or_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / DATABASE).write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    (tmp_path / "a/model").mkdir()
    assert run_of(tmp_path / "a/model", RUN) == {}
    monkeypatch.setattr(mlflow_database, "_STEPS", 100_000)
    (tmp_path / "b").mkdir()
    place = database(
        tmp_path / "b", "DROP TABLE params",
        "CREATE VIEW params AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
        f"SELECT i AS key, i AS value, '{RUN}' AS run_uuid FROM n ORDER BY i",
    )  # fmt: skip
    assert run_of(place, RUN) == {}


def test_no_more_than_some_parameters(tmp_path: Path) -> None:
    values = ", ".join(f"('p{i}', '{i}', '{RUN}')" for i in range(MOST + 50))
    place = database(tmp_path, f"INSERT INTO params VALUES {values}")
    assert len(json.loads(run_of(place, RUN)["params"])) == MOST
