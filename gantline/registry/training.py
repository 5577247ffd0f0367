"""Training: what an MLflow tracking store says of a run: parameters, metrics, data, commit. Read without MLflow.

A store is a directory (`mlruns`), a SQLite file (`sqlite:///mlflow.db`) or a server (`http://...`), as MLflow 2 and 3
write and answer them.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import NotFound, UsageError
from .moment import shown

MOST = 10_000  # parameters, metrics, tags or data sets that are read of a run
VARIABLE = "MLFLOW_TRACKING_URI"
_RUN = re.compile(r"[\w-]{1,256}")
_MODEL = re.compile(r"m-[0-9a-f]{32}")  # a model that MLflow 3 logged
_COMMIT, _REMOTE, _SOURCE = "mlflow.source.git.commit", "mlflow.source.git.repoURL", "mlflow.source.name"
_CREDENTIALS = re.compile(r"(?<=://)[^/]*@")


@dataclass(frozen=True, slots=True)
class Run:
    """A run as a store has it. Times in milliseconds since 1970; `datasets`: name, digest, source_type, source."""

    id: str
    experiment: str = ""
    name: str = ""
    status: str = ""
    user: str = ""
    started: int | None = None
    ended: int | None = None
    artifacts: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    datasets: Iterable[Mapping[str, str]] = ()

    def to_json(self, tracking: str) -> dict[str, Any]:
        """What the registry keeps; nothing that is empty, and no passwords."""
        own = {k: v for k, v in self.tags.items() if not k.startswith("mlflow.")}
        found: dict[str, Any] = {
            "run": self.id, "tracking": _CREDENTIALS.sub("", tracking), "experiment": self.experiment,
            "name": self.name, "status": self.status, "user": self.user, "artifacts": self.artifacts,
            "started": _moment(self.started), "ended": _moment(self.ended),
            "params": dict(self.params), "metrics": {k: _number(v) for k, v in self.metrics.items()},
            "datasets": [dict(d) for d in self.datasets], "git_commit": self.tags.get(_COMMIT, ""),
            "git_remote": _CREDENTIALS.sub("", self.tags.get(_REMOTE, "")), "source": self.tags.get(_SOURCE, ""),
            "tags": own,
        }  # fmt: skip
        return {k: v for k, v in found.items() if v}


def read_training(run: str, tracking: str = "", asked: bool = True) -> dict[str, Any]:
    """What is known of a run; nothing where no store is said or found (then ./mlruns and ./mlflow.db are tried).

    NotFound if the store that is said has no such run and `asked`; UsageError or Unreachable for the store itself.
    """
    said = tracking or os.environ.get(VARIABLE, "")
    if not _RUN.fullmatch(run):
        if tracking:
            raise UsageError(f"run {run!r:.80}: not an MLflow run id")
        return {}
    for uri in [said] if said else _nearby():
        found = _read(uri, run)
        if found is not None:
            return found.to_json(uri)
    if said and asked:
        hint = ": that is a logged model; give the run that logged it" if _MODEL.fullmatch(run) else ""
        raise NotFound(f"tracking store {_CREDENTIALS.sub('', said)}: has no run {run}{hint}")
    return {}


def _nearby() -> list[str]:
    uris = ["sqlite:///mlflow.db"] if Path("mlflow.db").is_file() else []
    return [*uris, "mlruns"] if Path("mlruns").is_dir() else uris


def _read(uri: str, run: str) -> Run | None:
    scheme, colon, rest = uri.partition("://")
    if not colon or scheme == "file":
        from .mlflow_files import read_files

        return read_files(Path(rest if colon else uri.removeprefix("file:")), run)
    if scheme == "sqlite":
        from .mlflow_database import read_database

        return read_database(Path(rest.removeprefix("/")), run)
    if scheme in ("http", "https"):
        from .mlflow_server import read_server

        return read_server(uri, run)
    raise UsageError(
        f"tracking store {_CREDENTIALS.sub('', uri)}: expected a directory, sqlite:///FILE or the URL of a server"
    )


def _moment(milliseconds: int | None) -> str:
    return "" if milliseconds is None else shown(milliseconds * 1000)


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)  # JSON has no NaN
