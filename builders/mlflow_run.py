"""The run that made an MLflow model, in words of a lineage, from the tracking store that the model still lies in.

Stores are folders (EXPERIMENT/RUN) or SQLite (mlflow.db above the models); `gantline.registry` reads them. A model that
was copied away has none beside it, as has one beside a damaged store; then its MLmodel tells all there is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from gantline.errors import GantlineError
from gantline.registry.mlflow_database import read_database
from gantline.registry.mlflow_files import read_run
from gantline.registry.training import Run

from .lineage import public_url

DATABASE = "mlflow.db"  # what MLflow calls it, unless told otherwise
UP = 6  # folders above the model's own in which a store is looked for
MOST = 200  # parameters, or data sets, that are kept
LONGEST = 500  # characters of a value
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


def run_of(root: Path, run: str) -> dict[str, str]:
    """What a store tells of the run that logged the model in `root`, in words of a lineage; empty without a store."""
    if not _RUN.fullmatch(run):
        return {}
    for above in list(root.resolve().parents)[:UP]:
        try:
            found = _found(above, run)
        except GantlineError:
            continue
        if found is not None:
            return _told(found)
    return {}


def _found(above: Path, run: str) -> Run | None:
    if (above / run / "meta.yaml").is_file():
        return read_run(above, above / run)
    return read_database(above / DATABASE, run) if (above / DATABASE).is_file() else None


def _told(run: Run) -> dict[str, str]:
    out = {word: _short(run.tags[tag]) for tag, word in _TAGS.items() if run.tags.get(tag)}
    if "run_git_remote" in out:
        out["run_git_remote"] = public_url(out["run_git_remote"])
    if run.params:
        params = {key: _short(value) for key, value in sorted(run.params.items())[:MOST]}
        out["params"] = json.dumps(params, ensure_ascii=False, sort_keys=True)
    if datasets := [_dataset(one) for one in run.datasets][:MOST]:
        out["dataset"] = ", ".join(sorted(datasets))
    return out


def _dataset(told: Mapping[str, str]) -> str:
    return _short(f"{told['name']} ({told['digest']}, {told['source_type']})")


def _short(text: str) -> str:
    return text.strip()[:LONGEST]
