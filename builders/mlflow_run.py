"""The run that made an MLflow model, read without MLflow from the tracking store that the model still lies in.

Stores are folders (EXPERIMENT/RUN with meta.yaml, params/, tags/ and inputs/) or SQLite (mlflow.db above the models),
as MLflow 1 to 3 write them. A model that was copied away has none beside it; then its MLmodel tells all there is.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from gantline.errors import BadArtefact
from gantline.yaml_file import read_yaml

from .lineage import public_url

DATABASE = "mlflow.db"  # what MLflow calls it, unless told otherwise
UP = 6  # folders above the model's own in which a store is looked for
MOST = 200  # parameters, or data sets, that are kept
LONGEST = 500  # characters of a value
STEPS = 50_000_000  # of SQLite's machine: a database may hold queries of its own, without end
_RUN = re.compile(r"[A-Za-z0-9][\w-]{0,255}")
# tag -> the word for it in a lineage
_TAGS = {
    "mlflow.source.git.commit": "run_git_commit",
    "mlflow.source.git.branch": "run_git_branch",
    "mlflow.source.git.repoURL": "run_git_remote",
    "mlflow.source.name": "run_source",
    "mlflow.runName": "run_name",
    "mlflow.user": "run_user",
}
_DATASETS = (
    "SELECT d.name, d.digest, d.dataset_source_type FROM inputs i JOIN datasets d ON i.source_id = d.dataset_uuid "
    "WHERE i.destination_id = ? AND i.source_type = 'DATASET' AND i.destination_type = 'RUN' LIMIT ?"
)


def run_of(root: Path, run: str) -> dict[str, str]:
    """What a store tells of the run that logged the model in `root`, in words of a lineage; empty without a store."""
    if not _RUN.fullmatch(run):
        return {}
    for above in list(root.resolve().parents)[:UP]:
        if (above / run / "meta.yaml").is_file():
            return _told(*_from_folder(above, above / run))
        if (above / DATABASE).is_file() and (found := _from_database(above / DATABASE, run)) is not None:
            return _told(*found)
    return {}


def _told(params: dict[str, str], tags: dict[str, str], datasets: list[str]) -> dict[str, str]:
    out = {word: tags[tag] for tag, word in _TAGS.items() if tags.get(tag)}
    if "run_git_remote" in out:
        out["run_git_remote"] = public_url(out["run_git_remote"])
    if params:
        out["params"] = json.dumps(params, ensure_ascii=False, sort_keys=True)
    if datasets:
        out["dataset"] = ", ".join(sorted(datasets))
    return out


def _from_folder(experiment: Path, run: Path) -> tuple[dict[str, str], dict[str, str], list[str]]:
    return dict(_files(run / "params")), dict(_files(run / "tags")), list(_datasets(experiment, run / "inputs"))


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    """One value a file; a name with slashes is a file in folders."""
    for path in sorted(folder.rglob("*"))[: 4 * MOST]:
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as f:
                yield path.relative_to(folder).as_posix(), _short(f.read(4 * LONGEST).decode("utf-8", "replace"))


def _datasets(experiment: Path, inputs: Path) -> Iterator[str]:
    for path in sorted(inputs.glob("*/meta.yaml"))[:MOST]:
        try:
            name = str(read_yaml(path)["source_id"])
            if _RUN.fullmatch(name):
                found = read_yaml(experiment / "datasets" / name / "meta.yaml")
                yield _dataset(*(str(found[key]) for key in ("name", "digest", "source_type")))
        except (BadArtefact, KeyError, TypeError):
            continue  # an input that is no data set, or half of one


def _from_database(path: Path, run: str) -> tuple[dict[str, str], dict[str, str], list[str]] | None:
    """None where the database does not know the run, or is none of MLflow's."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as store:
            store.execute("PRAGMA trusted_schema = OFF")
            store.set_progress_handler(lambda: 1, STEPS)
            if store.execute("SELECT 1 FROM runs WHERE run_uuid = ?", (run,)).fetchone() is None:
                return None
            sides = []
            for table in ("params", "tags"):
                asked = f"SELECT key, value FROM {table} WHERE run_uuid = ? ORDER BY key LIMIT ?"
                rows = store.execute(asked, (run, MOST)).fetchall()
                sides.append({str(key): _short(str(value)) for key, value in rows})
            datasets = [_dataset(*map(str, row)) for row in store.execute(_DATASETS, (run, MOST))]
    except sqlite3.Error:
        return None
    return sides[0], sides[1], datasets


def _dataset(name: str, digest: str, source: str) -> str:
    return _short(f"{name} ({digest}, {source})")


def _short(text: str) -> str:
    return text.strip()[:LONGEST]
