"""A run in MLflow's SQLite store (SqlAlchemyStore), by the standard library alone; nothing is written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from ..errors import BadArtefact, UsageError
from .training import MOST, Run

_STEPS = 50_000_000  # of SQLite's machine: a database may hold queries of its own, without end
_RUN = (
    "SELECT r.name, r.status, r.user_id, r.start_time, r.end_time, r.artifact_uri, e.name FROM runs r"
    " LEFT JOIN experiments e ON e.experiment_id = r.experiment_id WHERE r.run_uuid = ?"
)
_DATASETS = (
    "SELECT d.name, d.digest, d.dataset_source_type, d.dataset_source FROM inputs i JOIN datasets d"
    " ON d.dataset_uuid = i.source_id WHERE i.source_type = 'DATASET' AND i.destination_type = 'RUN'"
    f" AND i.destination_id = ? ORDER BY d.name, d.digest LIMIT {MOST}"
)


def read_database(path: Path, run: str) -> Run | None:
    """The run, or None. UsageError where there is no file, BadArtefact where it is no tracking store."""
    if not path.is_file():
        raise UsageError(f"tracking store {path}: no such file")
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, timeout=10)) as database:
            database.execute("PRAGMA trusted_schema = OFF")
            database.set_progress_handler(lambda: 1, _STEPS)
            return _run(database, run)
    except sqlite3.Error as e:
        raise BadArtefact(f"tracking store {path}: not MLflow's, or not to be read ({e})") from e


def _run(database: sqlite3.Connection, run: str) -> Run | None:
    row = database.execute(_RUN, (run,)).fetchone()
    if row is None:
        return None
    name, status, user, started, ended, artifacts, experiment = row
    query = f"SELECT key, value, is_nan FROM latest_metrics WHERE run_uuid = ? ORDER BY key LIMIT {MOST}"
    metrics = database.execute(query, (run,))
    return Run(
        run,
        experiment=experiment or "",
        name=name or "",
        status=status or "",
        user=user or "",
        started=started,
        ended=ended,
        artifacts=artifacts or "",
        params=dict(_pairs(database, "params", run)),
        metrics={key: float("nan") if is_nan else float(value) for key, value, is_nan in metrics},
        tags=dict(_pairs(database, "tags", run)),
        datasets=[
            {"name": n, "digest": d, "source_type": t, "source": s}
            for n, d, t, s in database.execute(_DATASETS, (run,))
        ],
    )


def _pairs(database: sqlite3.Connection, table: str, run: str) -> Iterator[tuple[str, str]]:
    query = f"SELECT key, value FROM {table} WHERE run_uuid = ? ORDER BY key LIMIT {MOST}"
    for key, value in database.execute(query, (run,)):
        yield key, value or ""
