"""MLflow's SQLite file. test_mlflow_server reads one that MLflow wrote."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from gantline.errors import BadArtefact, UsageError
from gantline.registry.mlflow_database import read_database

TABLES = """
CREATE TABLE experiments (experiment_id INTEGER, name VARCHAR(256));
CREATE TABLE runs (run_uuid VARCHAR(32), name VARCHAR(250), status VARCHAR(9), user_id VARCHAR(256), start_time BIGINT,
  end_time BIGINT, artifact_uri VARCHAR(200), experiment_id INTEGER);
CREATE TABLE params (key VARCHAR(250), value VARCHAR(8000), run_uuid VARCHAR(32));
CREATE TABLE tags (key VARCHAR(250), value VARCHAR(8000), run_uuid VARCHAR(32));
CREATE TABLE latest_metrics (key VARCHAR(250), value FLOAT, is_nan BOOLEAN, run_uuid VARCHAR(32));
CREATE TABLE datasets (dataset_uuid VARCHAR(36), name VARCHAR(500), digest VARCHAR(36), dataset_source_type VARCHAR(36),
  dataset_source TEXT);
CREATE TABLE inputs (source_type VARCHAR(36), source_id VARCHAR(36), destination_type VARCHAR(36),
  destination_id VARCHAR(36));
INSERT INTO experiments VALUES (1, 'flowers');
INSERT INTO runs VALUES ('r', 'calm', 'FINISHED', 'ann', 1, NULL, 's3://b', 1), ('q', NULL, NULL, NULL, 1, 2, NULL, 9);
INSERT INTO params VALUES ('C', '1.0', 'r'), ('C', '2.0', 'q');
INSERT INTO tags VALUES ('mlflow.source.git.commit', 'c0ffee', 'r');
INSERT INTO latest_metrics VALUES ('loss', 0, 1, 'r'), ('accuracy', 0.9, 0, 'r');
INSERT INTO datasets VALUES ('d', 'iris', 'abc', 'local', '{}');
INSERT INTO inputs VALUES ('DATASET', 'd', 'RUN', 'r');
"""


def test_a_run(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.executescript(TABLES)
    database.close()
    found = read_database(tmp_path / "mlflow.db", "r")
    assert found is not None and found.experiment == "flowers" and found.params == {"C": "1.0"}
    assert str(dict(found.metrics)) == "{'accuracy': 0.9, 'loss': nan}" and found.ended is None
    assert found.datasets == [{"name": "iris", "digest": "abc", "source_type": "local", "source": "{}"}]
    other = read_database(tmp_path / "mlflow.db", "q")
    assert other is not None and (other.experiment, other.name, other.ended) == ("", "", 2)
    assert read_database(tmp_path / "mlflow.db", "none") is None


def test_what_is_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        read_database(tmp_path / "none.db", "r")
    assert not (tmp_path / "none.db").exists()
    (tmp_path / "text.db").write_text("no database at all, and long enough for one" * 50)
    with pytest.raises(BadArtefact, match="not MLflow's"):
        read_database(tmp_path / "text.db", "r")
    sqlite3.connect(tmp_path / "empty.db").close()
    (tmp_path / "empty.db").touch()
    with pytest.raises(BadArtefact, match="not MLflow's"):
        read_database(tmp_path / "empty.db", "r")
