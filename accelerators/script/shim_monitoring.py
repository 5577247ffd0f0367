"""Shim for azureml.monitoring and azureml.ai.monitoring: what is collected goes to CSV files, or nowhere.

Set GANTLINE_MODEL_DATA to a directory to keep it, laid out as Azure does:
`<workspace>/<service>/<model>/<version>/<designation>/<year>/<month>/<day>/<designation>.csv`.
"""

from __future__ import annotations

import csv
import datetime
import functools
import logging
import os
from typing import Any

_log = logging.getLogger("azureml.monitoring")


class ModelDataCollector:
    """Collects a model's inputs or predictions, one row for each sample."""

    def __init__(
        self, model_name: str, identifier: str = "default", designation: str = "", feature_names: Any = None,
        model_version: str | None = None, **ignored: Any,
    ) -> None:  # fmt: skip
        self.model_name = model_name
        self.designation = designation or identifier
        self.feature_names = list(feature_names) if feature_names is not None else None
        self.model_version = model_version or "1"

    def collect(self, input_data: Any, user_correlation_id: str = "") -> None:
        """Append rows. Never raises: a full disk must not fail a request."""
        path = _path(self.model_name, self.model_version, self.designation)
        if path is None:
            return
        try:
            _append(path, self.feature_names, _rows(input_data), user_correlation_id)
        except (OSError, ValueError, TypeError) as e:
            _log.warning("%s: not collected: %s", path, e)


class Collector:
    """The second generation's collector: data frames by name."""

    def __init__(self, name: str, on_error: Any = None, **ignored: Any) -> None:
        self.name = name
        self._on_error = on_error

    def collect(self, data: Any, correlation_context: Any = None) -> Any:
        """Append a frame's rows; gives back a context for the next collect()."""
        path = _path("model", "1", self.name)
        if path is not None:
            try:
                _append(path, [str(c) for c in data.columns], _rows(data), "")
            except Exception as e:
                if self._on_error is None:
                    _log.warning("%s: not collected: %s", path, e)
                else:
                    self._on_error(e)
        return correlation_context


def _path(model: str, version: str, designation: str) -> str | None:
    root = os.environ.get("GANTLINE_MODEL_DATA")
    if not root:
        _say_once()
        return None
    day = datetime.datetime.now(datetime.UTC).strftime("%Y/%m/%d")
    workspace = os.environ.get("WORKSPACE_NAME", "workspace")
    service = os.environ.get("SERVICE_NAME", "service")
    return os.path.join(root, workspace, service, model, version, designation, *day.split("/"), f"{designation}.csv")


@functools.cache
def _say_once() -> None:
    _log.warning("model data is not collected: GANTLINE_MODEL_DATA is not set")


def _rows(data: Any) -> list[list[Any]]:
    if hasattr(data, "values"):  # a frame or a series
        data = data.values() if callable(data.values) else data.values
    if hasattr(data, "tolist"):
        data = data.tolist()
    rows = list(data) if isinstance(data, list | tuple) else [data]
    return [list(r) if isinstance(r, list | tuple) else [r] for r in rows]


def _append(path: str, names: list[str] | None, rows: list[list[Any]], correlation: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    new = not os.path.exists(path)
    with open(path, "a", newline="", encoding="utf-8") as f:
        writer = csv.writer(f)
        if new:
            width = max(map(len, rows), default=0)
            writer.writerow(["correlation_id", *(names or [f"column_{i}" for i in range(width)])])
        writer.writerows([correlation, *row] for row in rows)
