"""An MLflow model behind a generated script that asks MLflow's own scoring server's function, without its HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gantline.accelerators.script.request_file import read_request

from gantline.errors import BadArtefact
from gantline.fitting import UNNAMED
from gantline.manifest import ScriptInfo
from gantline.tensors import Array

from .from_script import is_pickle
from .mlflow_model import PYFUNC, MlflowModel
from .source import Conversion, Source

ENTRY = "score.py"
_FORMAT = "serialization_format"


def behind_script(model: MlflowModel, source: Source, reason: str, work: Path) -> Conversion:
    """The whole directory with a script. BadArtefact without a python_function, or with a pickle that nobody trusts."""
    if PYFUNC not in model.flavors:
        raise BadArtefact(
            f"{model.root}: has the flavors {', '.join(sorted(model.flavors))}, none of which is converted here, and "
            "no python_function that a script could ask"
        )
    files = {f"models/{inside}": path for inside, path in _walk(model.root)}
    pickles = tuple(inside for inside, path in files.items() if is_pickle(path) or _is_trusting(model, path))
    if pickles and not source.trust_pickle:
        raise BadArtefact(
            f"{model.root}: MLflow unpickles {', '.join(pickles[:4]).replace('models/', '')} to load it, which runs "
            "whatever code its author put in; if you trust it pass --trust-pickle"
        )
    script = work / ENTRY
    allowed = source.trust_pickle or _is_skops(model)
    script.write_text(_SCRIPT.replace("# FACTS", f"TRUSTED = {allowed}"), "utf-8")
    environment, origin = model.environment()
    notes: tuple[str, ...] = (f"environment: {f'from the {origin}' if origin else 'the interpreter that serves'}",)
    if source.environment is not None:
        environment, notes = read_request(source.environment), ()
    if pickles:
        notes += (f"may unpickle {', '.join(pickles[:4])}: `serve --no-pickle` refuses it",)
    body = _body(source.sample, work) if source.sample is not None else model.example_body()
    if body is not None and source.sample is None and not source.trust_pickle:
        # it would run what the model's author wrote, and install what the model asks for
        body, note = None, "the input example is not run: --trust-pickle runs it, or --sample rows of yours"
        notes += (note,)
    info = ScriptInfo(entry=ENTRY, models="models", pickles=pickles)
    return Conversion(
        engine="script",
        framework="MLflow",
        type=f"python_function({_loader(model)})",
        files={f"code/{ENTRY}": script, **files},
        versions={"mlflow": model.told["mlflow_version"]} if "mlflow_version" in model.told else {},
        reason=reason,
        notes=notes,
        body=body,
        manifest={"script": info, "environment": environment},
    )


def _loader(model: MlflowModel) -> str:
    return str(model.flavors[PYFUNC].get("loader_module", ""))[:100]


def _is_skops(model: MlflowModel) -> bool:
    """Whether MLflow reads nothing but a .skops file, for which it asks the same word of trust as for a pickle."""
    return _loader(model) == "mlflow.sklearn" and model.flavors.get("sklearn", {}).get(_FORMAT) == "skops"


def _is_trusting(model: MlflowModel, path: Path) -> bool:
    """A .skops file whose types MLflow trusts because MLmodel says so: as good as a pickle to its author."""
    return path.suffix == ".skops" and bool(model.flavors.get("sklearn", {}).get("skops_trusted_types"))


def _walk(root: Path) -> Iterator[tuple[str, Path]]:
    """Every file of the model but Python's caches. BadArtefact for links that lead out of it."""
    real = root.resolve()
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root)
        if "__pycache__" in inside.parts or (path.is_dir() and not path.is_symlink()):
            continue
        if not path.is_file() or not path.resolve().is_relative_to(real):
            raise BadArtefact(f"{path}: neither a file of the model's own nor a directory")
        yield inside.as_posix(), path


def _body(sample: Mapping[str, Array], work: Path) -> Path:
    """The user's rows as a client sends them to /invocations."""
    tree: dict[str, Any]
    if list(sample) == [UNNAMED]:
        tree = {"inputs": _listed(sample[UNNAMED])}
    elif all(a.ndim == 1 for a in sample.values()):
        rows = [list(row) for row in zip(*map(_listed, sample.values()), strict=True)]
        tree = {"dataframe_split": {"columns": list(sample), "data": rows}}
    else:
        tree = {"inputs": {n: _listed(a) for n, a in sample.items()}}
    path = work / "sample.json"
    path.write_text(json.dumps(tree), "utf-8")
    return path


def _listed(array: Array) -> Any:
    if array.dtype.kind == "f":  # JSON has no NaN; MLflow reads null as one
        gaps = np.isnan(array)
        array = array.astype(object)
        array[gaps] = None
    elif array.dtype.kind in "OS":
        texts = [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in array.ravel().tolist()]
        array = np.array(texts, object).reshape(array.shape)
    return array.tolist()


_SCRIPT = '''"""Written by gantline package: an MLflow model, asked as MLflow's own scoring server asks it."""

import json
import logging
import os

import mlflow.pyfunc
from azureml.contrib.services.aml_response import AMLResponse
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server

JSON = "application/json"
# beginnings of messages that name what the model takes, and nothing of what was sent
PLAIN = ("Model is missing inputs", "Incompatible input types", "Shape of input", "dtype of input", "Expected input",
         "The input must be a JSON dictionary", "Dataframe records format", "Dataframe split format", "Number of",
         "Expected dtype", "Expected dict", "The length of values")
# FACTS
UNFIT = "the model does not take this input; the server's log says why"
log = logging.getLogger("gantline.mlflow")
model = schema = None


def init():
    global model, schema
    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "true" if TRUSTED else "false"
    os.environ["_MLFLOW_IS_IN_SERVING_ENVIRONMENT"] = "true"
    model = mlflow.pyfunc.load_model(os.environ["AZUREML_MODEL_DIR"])
    schema = model.metadata.get_input_schema()


def run(data, request_headers):
    kind = next((v for k, v in request_headers.items() if k.lower() == "content-type"), JSON)
    try:
        found = scoring_server.invocations(data, kind, model, schema)
    except MlflowException as e:
        log.warning("%s: %s", e.error_code, e.message[:2000])
        if getattr(e, "json_kwargs", {}).get("stack_trace"):
            log.warning("%s", e.json_kwargs["stack_trace"])
        return refused(e.get_http_status_code(), e.error_code, e.message)
    if found.status != 200:
        return refused(found.status, "BAD_REQUEST", f"expected {JSON} or text/csv, in UTF-8")
    return AMLResponse(found.response, 200, {"Content-Type": JSON})


def refused(status, code, message):
    """MLflow's shape of an error in one line, without the input that its own server would quote."""
    inner = message.rpartition("Error: ")[2].strip().partition("\\n")[0]
    told = inner[:300] if inner.startswith(PLAIN) else UNFIT
    status = 400 if status >= 500 else status  # a model's exception is what its input brought about
    return AMLResponse(json.dumps({"error_code": code, "message": told}), status, {"Content-Type": JSON})
'''
