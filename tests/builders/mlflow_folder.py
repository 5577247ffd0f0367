"""Model directories as MLflow 3.17 writes them, made without it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ID = "922a215a41494c71a6e35021256c4b5e"
CONDA = "dependencies:\n- python=3.11.7\n- pip\n- pip:\n  - mlflow==3.17.2\nname: mlflow-env\n"


def columns(*names: str, kind: str = "double") -> list[dict[str, Any]]:
    return [{"type": kind, "name": n, "required": True} for n in names]


def mlmodel(flavors: dict[str, dict[str, Any]], **keys: Any) -> str:
    """The file's text. YAML takes JSON as it is, which spares a writer; MLflow's own is read in conformance/."""
    return json.dumps(
        {
            "flavors": flavors,
            "mlflow_version": "3.17.2",
            "model_uuid": ID,
            "run_id": "0123456789abcdef",
            "utc_time_created": "2026-11-28 08:41:22.773545",
            **keys,
        }
    )


def example(folder: Path, body: Any, kind: str = "dataframe") -> dict[str, Any]:
    """The files of an input example, and what MLmodel says of it."""
    (folder / "serving_input_example.json").write_text(json.dumps(body))
    return {"artifact_path": "input_example.json", "serving_input_path": "serving_input_example.json", "type": kind}


def pyfunc(**keys: Any) -> dict[str, Any]:
    return {"loader_module": "mlflow.pyfunc.model", "python_version": "3.11.7", **keys}


def signature(inputs: Any, outputs: Any = None, params: Any = None) -> dict[str, Any]:
    sides = {"inputs": inputs, "outputs": outputs, "params": params}
    return {side: None if specs is None else json.dumps(specs) for side, specs in sides.items()}
