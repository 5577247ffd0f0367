"""An MLflow model directory as read: its MLmodel file, its signature, its input example and its environment.

Read with a YAML parser and nothing of MLflow's. Format: mlflow.models.Model, mlflow.types.Schema and
mlflow.models.utils in MLflow 3.17; the same keys are found back to 1.x.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from gantline.accelerators.script.request_file import read_request

from gantline.errors import BadArtefact
from gantline.manifest import EnvironmentRequest
from gantline.samples import from_json
from gantline.tensors import Array
from gantline.yaml_file import read_yaml

FILE = "MLmodel"
PYFUNC = "python_function"
MOST = 500  # characters of what is told
# what MLmodel tells -> the word for it in a lineage
_TOLD = {
    "run_id": "run",
    "experiment_id": "experiment",
    "model_uuid": "model_uuid",
    "model_id": "model_id",
    "utc_time_created": "saved",
    "mlflow_version": "mlflow",
    "artifact_path": "artifact_path",
}


@dataclass(frozen=True, slots=True)
class MlflowModel:
    """What MLmodel says. `inputs` and `outputs`: the signature's columns or tensors, as MLflow writes them."""

    root: Path
    flavors: dict[str, dict[str, Any]]
    inputs: tuple[dict[str, Any], ...] = ()
    outputs: tuple[dict[str, Any], ...] = ()
    params: tuple[dict[str, Any], ...] = ()
    example: dict[str, Any] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of a column-based signature's inputs, in order; empty for tensors or no names."""
        named = [i["name"] for i in self.inputs if i.get("name") is not None and i.get("type") != "tensor"]
        return tuple(map(str, named)) if len(named) == len(self.inputs) else ()

    @property
    def lineage(self) -> dict[str, Any]:
        """Run, experiment, ids, time and version as MLflow recorded them, and the signature that it promised."""
        sides = {"inputs": self.inputs, "outputs": self.outputs, "params": self.params}
        signature = {side: list(specs) for side, specs in sides.items() if specs}
        found: dict[str, Any] = {key: self.told[name] for name, key in _TOLD.items() if name in self.told}
        found["flavors"] = ", ".join(sorted(self.flavors))
        return found | ({"signature": json.dumps(signature)} if signature else {})

    def place(self, inside: Any, what: str) -> Path:
        """A path that MLmodel names. BadArtefact if it is missing, or not inside the directory."""
        if not isinstance(inside, str) or not inside:
            raise BadArtefact(f"{self.root / FILE}: {what} names no file")
        path = self.root / inside
        try:
            stays, there = path.resolve().is_relative_to(self.root.resolve()), path.exists()
        except (OSError, ValueError, RuntimeError) as e:  # a name too long, with a NUL, or a link to itself
            raise BadArtefact(f"{self.root / FILE}: {what} names no path: {inside!r:.60}") from e
        if not stays:
            raise BadArtefact(f"{self.root / FILE}: {what} leads out of the model's directory")
        if not there:
            raise BadArtefact(f"{path}: no such file or directory, although {what} in {FILE} names it")
        return path

    def example_body(self) -> Path | None:
        """The input example as a client sends it, where there is one."""
        inside = self.example.get("serving_input_path")
        return self.place(inside, "the input example") if inside else None

    def example_rows(self) -> tuple[dict[str, Array] | None, str]:
        """The input example as a sample, or None and why not."""
        inside = self.example.get("serving_input_path") or self.example.get("artifact_path")
        if not inside:
            return None, ""
        path = self.place(inside, "the input example")
        if str(self.example.get("type", "")).startswith("sparse"):
            return None, "the input example is a sparse matrix, which is not read"
        try:
            tree = json.loads(path.read_bytes(), parse_constant=lambda _: None)  # a NaN is a gap
            if "serving_input_path" not in self.example and self.example.get("type") == "ndarray":
                tree = {"inputs": tree}
            return self._in_form(from_json(tree, str(path))), ""
        except (ValueError, RecursionError, OSError) as e:
            raise BadArtefact(f"{path}: the input example is not JSON ({e})") from e
        except BadArtefact as e:
            return None, f"the input example is not read: {e.message.removeprefix(f'{path}: ')}"

    def _in_form(self, rows: dict[str, Array]) -> dict[str, Array]:
        """A single unnamed column of a table that has one column gets that column's name."""
        return {self.columns[0]: next(iter(rows.values()))} if len(self.columns) == len(rows) == 1 else rows

    def environment(self) -> tuple[EnvironmentRequest, str]:
        """The recorded environment and the file that it is from; `current` where none is recorded."""
        for name in ("requirements.txt", "conda.yaml"):
            path = self.root / name
            if path.is_file():
                request = read_request(path)
                return replace(request, python=request.python or self._python()), name
        return EnvironmentRequest(), ""

    def _python(self) -> str:
        """The minor version of the Python that the model was saved with."""
        path = self.root / "python_env.yaml"
        told = load_yaml(path).get("python") if path.is_file() else self.flavors.get(PYFUNC, {}).get("python_version")
        found = re.match(r"3\.\d+(?=[.\w]*$)", str(told))
        return found[0] if found else ""


def read_model(root: Path) -> MlflowModel:
    """An MLflow model's directory. BadArtefact names the file, and what is wrong in it."""
    path = root / FILE
    tree = load_yaml(path)
    flavors = tree.get("flavors")
    if not isinstance(flavors, dict) or not flavors or not all(_is_flavor(*item) for item in flavors.items()):
        raise BadArtefact(f"{path}: expected a mapping 'flavors' that says how the model can be loaded")
    signature = tree.get("signature") or {}
    example = tree.get("saved_input_example_info") or {}
    if not isinstance(signature, dict) or not isinstance(example, dict):
        raise BadArtefact(f"{path}: 'signature' and 'saved_input_example_info' are to be mappings")
    inputs, outputs, params = (_specs(signature.get(s), s, path) for s in ("inputs", "outputs", "params"))
    simple = (str, int, datetime)
    told = {k: str(tree[k])[:MOST] for k in _TOLD if isinstance(tree.get(k), simple) and tree[k]}
    return MlflowModel(root, flavors, inputs, outputs, params, example, told)


def _is_flavor(name: Any, keys: Any) -> bool:
    return isinstance(name, str) and isinstance(keys, dict)


def load_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping. BadArtefact says what it holds instead."""
    tree = read_yaml(path)
    if not isinstance(tree, dict):
        raise BadArtefact(f"{path}: expected a mapping, found {type(tree).__name__}")
    return tree


def _specs(text: Any, side: str, path: Path) -> tuple[dict[str, Any], ...]:
    """One side of a signature, which MLmodel holds as JSON in a string."""
    if text is None:
        return ()
    try:
        found = json.loads(text)
    except (TypeError, ValueError, RecursionError) as e:
        raise BadArtefact(f"{path}: signature: {side!r} is not a string of JSON") from e
    if found is None:
        return ()
    if not isinstance(found, list) or not all(isinstance(s, dict) for s in found):
        raise BadArtefact(f"{path}: signature: {side!r} is not a list of columns or tensors")
    return tuple(found)
