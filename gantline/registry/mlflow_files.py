"""A run in MLflow's file store: `mlruns/EXPERIMENT/RUN` with a file for each parameter, metric and tag (FileStore)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import BadArtefact, UsageError
from ..yaml_file import read_yaml
from .training import MOST, Run

_LONGEST = 1 << 20  # bytes of a value, or of a metric's lines
_STATUS = ("", "RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")


def read_files(root: Path, run: str) -> Run | None:
    """The run, or None. UsageError where the store cannot be read, BadArtefact for what is no store's file."""
    try:
        experiments = sorted(e.path for e in os.scandir(root) if e.is_dir() and not e.name.startswith("."))
    except OSError as e:
        raise UsageError(f"tracking store {root}: cannot be read: {e.strerror}") from e
    for path in experiments:
        folder = Path(path) / run
        if (folder / "meta.yaml").is_file():
            return read_run(Path(path), folder)
    return None


def read_run(experiment: Path, folder: Path) -> Run:
    """The run of a folder. BadArtefact for what is no store's file."""
    about = _yaml(folder / "meta.yaml")
    status = about.get("status")
    return Run(
        folder.name,
        experiment=str(_yaml(experiment / "meta.yaml").get("name", "")),
        name=str(about.get("run_name") or ""),
        status=_STATUS[status] if isinstance(status, int) and 0 <= status < len(_STATUS) else str(status or ""),
        user=str(about.get("user_id") or ""),
        started=_whole(about.get("start_time")),
        ended=_whole(about.get("end_time")),
        artifacts=str(about.get("artifact_uri") or ""),
        params=dict(_texts(folder / "params")),
        metrics={key: _last(text, folder / "metrics" / key) for key, text in _texts(folder / "metrics")},
        tags=dict(_texts(folder / "tags")),
        datasets=list(_datasets(experiment, folder)),
    )


def _texts(folder: Path) -> Iterator[tuple[str, str]]:
    """Each file's text; a key with slashes is a path."""
    found = (p for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    for path in sorted(islice(found, MOST)):
        try:
            with path.open("rb") as f:
                text = f.read(_LONGEST).decode("utf-8", "replace")
        except OSError as e:
            raise BadArtefact(f"{path}: cannot be read ({e})") from e
        yield path.relative_to(folder).as_posix(), text.rstrip("\n")


def _last(text: str, where: Path) -> float:
    """A metric's value at its last step: lines of time, value and perhaps step; five fields name a dataset."""
    try:
        lines = [line.split(" ") for line in text.splitlines() if line.strip()]
        found = [(int(f[2]) if len(f) == 3 else 0, int(f[0]), float(f[1])) for f in lines]
        return max(found)[2]
    except (ValueError, IndexError) as e:
        raise BadArtefact(f"{where}: not a metric as MLflow writes it ({e})") from e


def _datasets(experiment: Path, folder: Path) -> Iterator[dict[str, str]]:
    for path in sorted((folder / "inputs").glob("*/meta.yaml")):
        with suppress(BadArtefact):  # an input that is no data set, or half of one
            about = _yaml(path)
            described = experiment / "datasets" / Path(str(about.get("source_id", ""))).name / "meta.yaml"
            data = _yaml(described)
            if data:
                yield {key: str(data.get(key) or "") for key in ("name", "digest", "source_type", "source")}


def _yaml(path: Path) -> dict[str, Any]:
    found = read_yaml(path) if path.is_file() else {}
    if not isinstance(found, dict):
        raise BadArtefact(f"{path}: expected a mapping, found {type(found).__name__}")
    return found


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) else None
