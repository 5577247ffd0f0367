"""A folder by which Azure ML is told what to deploy: v1's inference configuration, or v2's deployment or model YAML.

What it names (script, code, model, conda file, environment variables, time-outs) becomes a package whose script runs
as in Azure. Every other key is listed with the reason why it is not applied. A model without a script is what it is:
an MLflow model, a Triton repository or a file of its own, and goes to the source that knows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gantline.accelerators.script.request_file import read_request

from gantline.errors import BadArtefact, Unsupported, UsageError
from gantline.manifest import EnvironmentRequest
from gantline.yaml_file import spelling

from . import from_script
from .azure_documents import SUFFIXES, TYPES, Document, Tree, environment_of, only, read_documents
from .azure_keys import not_applied
from .mlflow_model import FILE as MLMODEL
from .source import Conversion, Source, converter_for
from .triton_entry import is_entry, models_in

_KINDS = ("inference", "deployment", "batch", "model")
FOLDERS = ("azureml-models", "model", "models", "outputs")  # v1 does not say where the model lies
LENT = ("azureml-defaults", "azureml-inference-server-http")  # the host does what they are for
NAMED = ("name", "version", "description", "tags", "properties", "type")  # of a model or an environment
_SAY = "say what the script needs: --env requirements.txt, or --env current for the interpreter that serves"
WORKERS = "WORKER_COUNT"  # how many processes Azure's server starts
MOST_HOSTS = 64
_MOST = "max_concurrent_requests_per_instance"
_OURS = ("AML_APP_ROOT", "AZUREML_ENTRY_SCRIPT", "AZUREML_MODEL_DIR")  # the host says where they are


@dataclass(frozen=True, slots=True)
class Plan:
    """What the documents come to. `model` is a file or a folder, `request` of the environment, None if not said."""

    script: Path | None
    code: Path | None
    model: Path | None
    model_type: str
    request: EnvironmentRequest | None
    variables: dict[str, str]
    timeout_s: float | None
    settings: dict[str, Any]
    notes: tuple[str, ...]


def recognises(source: Source) -> bool:
    """A folder with such a document at its top, or the document itself."""
    path = source.path
    if path is None or source.script is not None or not path.exists():
        return False
    if path.is_file() and path.suffix.lower() not in SUFFIXES:
        return False
    documents = read_documents(path)
    return any(d.kind in _KINDS for d in documents) or (path.is_file() and bool(documents))


def takes_body(source: Source) -> bool:
    """A sample is a body where there is a script; else it is rows."""
    assert source.path is not None
    return any(d.kind == "inference" or "code_configuration" in d.tree for d in read_documents(source.path))


def convert(source: Source, work: Path) -> Conversion:
    """The script with all that is named for it, or the model by its own source."""
    plan = plan_of(source, work)
    if plan.script is None:
        return _handed_over(plan, source, work)
    inner = replace(source, path=None, script=plan.script, code=plan.code, model_dir=plan.model, environment=None)
    made = from_script.convert(inner, work)
    made.framework = "Azure ML"
    if plan.model is not None and plan.model.is_dir() and source.model_dir is None:
        made.files = _under_its_name(made.files, plan.model.name)
    script = made.manifest["script"]
    pickles = tuple(sorted(inside for inside, path in made.files.items() if from_script.is_pickle(path)))
    script = replace(script, variables=plan.variables, pickles=pickles)
    if plan.timeout_s is not None:
        script = replace(script, timeout_s=plan.timeout_s)
    request, notes = _environment(plan, source, made)
    made.manifest = {**made.manifest, "script": script, "environment": request, "settings": plan.settings}
    made.notes = (*notes, *plan.notes)
    return made


def plan_of(source: Source, work: Path) -> Plan:
    """What the documents say, found and checked. UsageError where they say it twice."""
    path = source.path
    assert path is not None
    documents = read_documents(path)
    if batch := only(documents, "batch", path):
        raise Unsupported(f"{batch.path}: batch deployments are not packaged yet; package the script: --script")
    deployment = only(documents, "deployment", path)
    inference = only(documents, "inference", path)
    if deployment is not None and inference is not None:
        names = f"{deployment.path.name} and {inference.path.name}"
        raise UsageError(f"{path}: both v1 and v2 say what to deploy ({names}): give the path of one of them")
    if deployment is not None:
        return _second(deployment, source, work)
    if inference is not None:
        return _first(inference, only(documents, "settings", path), source, work)
    model = only(documents, "model", path)
    if model is None:
        told = {"settings": "hosts", "endpoint": "an endpoint", "environment": "an environment"}[documents[0].kind]
        raise UsageError(
            f"{path}: describes {told}; give the path of a deployment, a model or an inference configuration"
        )
    at, kind = _model({"model": model.tree}, model)
    return Plan(None, None, at, kind, None, {}, None, {}, tuple(not_applied("model", model.tree, model.path.name)))


def _second(document: Document, source: Source, work: Path) -> Plan:
    """v2's deployment YAML: https://learn.microsoft.com/azure/machine-learning/reference-yaml-deployment-managed-online"""
    tree = document.tree
    code, script = None, None
    if said := tree.get("code_configuration"):
        code = document.path_of(_part(said, "code", document), "code_configuration.code")
        name = _part(said, "scoring_script", document)
        script = code / name
        document.check_file(script, "code_configuration.scoring_script")
    model, kind = (source.model_dir, "") if source.model_dir is not None else _model(tree, document)
    environment, inside = _second_environment(document)
    apart = () if inside is document else not_applied("environment", environment, inside.path.name)
    request = None if source.environment is not None or script is None else _conda(environment, inside, work)
    asked = document.part(tree, "request_settings")
    variables = _variables(tree.get("environment_variables"), document)
    return Plan(
        script, code, model, kind, request, variables,
        _seconds(asked.get("request_timeout_ms"), document), _settings(asked, variables, document),
        (*not_applied("deployment", tree, document.path.name), *apart, *_limits(asked, variables, document)),
    )  # fmt: skip


def _first(document: Document, settings: Document | None, source: Source, work: Path) -> Plan:
    """v1's inferenceconfig: https://learn.microsoft.com/azure/machine-learning/v1/reference-azure-machine-learning-cli"""
    tree = document.tree
    folder = tree.get("source_directory")
    code = document.path_of(folder, "source_directory") if folder else None
    script = (code or document.path.parent) / str(tree["entry_script"])
    document.check_file(script, "entry_script")
    said = tree.get("environment")
    inner: Tree = said if isinstance(said, dict) else {"name": said} if said else {}
    python = document.part(inner, "python")
    conda = python.get("conda_dependencies") or python.get("conda_dependencies_file") or tree.get("conda_file")
    request = None
    if source.environment is None:
        registered = inner.get("name") if "runtime" not in tree else None
        request = _conda({"conda_file": conda, "image": inner.get("docker"), "name": registered}, document, work)
    asked = settings.tree if settings is not None else {}
    notes = [*not_applied("inference", tree, document.path.name)]
    if settings is not None:
        notes += not_applied("settings", settings.tree, settings.path.name)
    model = source.model_dir or next((p for f in FOLDERS if (p := document.path.parent / f).exists()), None)
    if model is None:
        notes.append(f"no model: {document.path.name} names none, and no {' or '.join(FOLDERS)} is there")
    variables = _variables(inner.get("environment_variables"), document)
    one = settings or document
    renamed = {
        "request_timeout_ms": asked.get("scoring_timeout_ms"),
        _MOST: asked.get("max_concurrent_requests_per_container"),
        "max_queue_wait_ms": asked.get("max_queue_wait_ms"),
    }
    return Plan(
        script, code, model, "", request, variables,
        _seconds(renamed["request_timeout_ms"], one), _settings(renamed, variables, one),
        (*notes, *_limits(renamed, variables, one)),
    )  # fmt: skip


def _model(tree: Tree, document: Document) -> tuple[Path | None, str]:
    """Where the model lies and of what type it is."""
    said = tree.get("model")
    if said is None:
        return None, ""
    if isinstance(said, str):
        return document.path_of(said, "model"), ""
    if not isinstance(said, dict):
        raise BadArtefact(f"{document.path}: model: expected a path or an object with one, found {said!r:.60}")
    kind = str(said.get("type", "custom_model"))
    if kind not in TYPES:
        raise BadArtefact(f"{document.path}: model.type is {kind!r:.40}: custom_model, mlflow_model or triton_model")
    return document.path_of(_part(said, "path", document), "model.path"), kind


def _second_environment(document: Document) -> tuple[Tree, Document]:
    """The environment's own tree, and the document from which its paths begin."""
    said = document.tree.get("environment")
    if isinstance(said, dict):
        return said, document
    if (isinstance(said, str) and said.startswith("file:")) or (isinstance(said, str) and said.endswith(SUFFIXES)):
        found = environment_of(document.path_of(said, "environment"))
        return found.tree, found
    return ({"image": said} if said else {}), document


def _conda(said: Tree, document: Document, work: Path) -> EnvironmentRequest | None:
    """What the conda file asks for; None where nothing is said. Unsupported where only an image says it."""
    conda = said.get("conda_file")
    if isinstance(conda, Mapping):
        import yaml

        inline = work / "conda.yml"
        inline.write_text(yaml.safe_dump(dict(conda)), "utf-8")
        return read_request(inline)
    if conda:
        return read_request(document.path_of(conda, "conda_file"))
    if said.get("image") or said.get("build"):
        shown = said.get("image") or said.get("build")
        raise Unsupported(
            f"{document.path}: environment: only an image says what is installed ({shown!r:.80}), which is not looked "
            f"into; {_SAY}"
        )
    if said.get("name"):
        raise Unsupported(
            f"{document.path}: environment {said['name']!r:.80} lies in a workspace, which is not asked; {_SAY}"
        )
    return None


def _environment(plan: Plan, source: Source, made: Conversion) -> tuple[EnvironmentRequest, tuple[str, ...]]:
    if source.environment is not None:
        return read_request(source.environment), made.notes
    if plan.request is None:
        return made.manifest["environment"], made.notes
    kept = tuple(r for r in plan.request.requirements if not r.lower().replace("_", "-").startswith(LENT))
    left = tuple(r for r in plan.request.requirements if r not in kept)
    notes = tuple(n for n in made.notes if not n.startswith("environment:"))
    if left:
        notes += (f"environment: without {', '.join(left)}: the script's host does what they are for",)
    return replace(plan.request, requirements=kept), notes


def _settings(asked: Mapping[str, Any], variables: Mapping[str, str], document: Document) -> dict[str, Any]:
    """Hosts side by side, as Azure's server counts its workers, and how long a request may wait for one."""
    out: dict[str, Any] = {}
    if workers := variables.get(WORKERS):
        hosts = int(_number(workers, f"environment_variables.{WORKERS}", document))
        if hosts > 1:
            out["instances"] = min(hosts, MOST_HOSTS)
    if (wait := asked.get("max_queue_wait_ms")) is not None:
        out["max_wait_s"] = min(max(_number(wait, "max_queue_wait_ms", document) / 1000, 0.001), 86400.0)
    return out


def _limits(asked: Mapping[str, Any], variables: Mapping[str, str], document: Document) -> Iterator[str]:
    """Notes on numbers that are not taken as they are."""
    most = asked.get(_MOST)
    if most is not None and _number(most, _MOST, document) > 1:
        key = "max_concurrent_requests_per_container" if document.kind == "settings" else f"request_settings.{_MOST}"
        yield (
            f"{document.path.name}: {key} is not applied: {WORKERS} says how many "
            "processes the script has; more requests wait in the queue"
        )
    for name in (n for n in _OURS if n in variables):
        yield f"{document.path.name}: environment_variables.{name} is not applied: it leads into the package"
    if _number(variables.get(WORKERS) or 0, f"environment_variables.{WORKERS}", document) > MOST_HOSTS:
        yield f"{document.path.name}: {WORKERS} is more than {MOST_HOSTS}: there are {MOST_HOSTS} processes"


def _seconds(value: Any, document: Document) -> float | None:
    return None if value is None else max(_number(value, "request_timeout_ms", document) / 1000, 0.001)


def _number(value: Any, key: str, document: Document) -> float:
    try:
        found = -1.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = -1.0
    if not 0 <= found < 1e9:
        raise BadArtefact(f"{document.path}: {key} is {value!r:.40}, expected a number of 0 or more")
    return found


def _variables(said: Any, document: Document) -> dict[str, str]:
    if said is None:
        return {}
    if not isinstance(said, dict):
        raise BadArtefact(f"{document.path}: environment_variables: expected names and values, found {said!r:.60}")
    out = {}
    for name, value in sorted(said.items(), key=str):
        if isinstance(value, dict | list) or "=" in str(name) or "\0" in f"{name}{value}":
            raise BadArtefact(f"{document.path}: environment_variables: '{name!s:.40}' is no name with one value")
        out[str(name)] = "" if value is None else spelling(value)
    return out


def _part(said: Any, key: str, document: Document) -> str:
    value = said.get(key) if isinstance(said, dict) else None
    if not isinstance(value, str) or not value:
        raise BadArtefact(f"{document.path}: {key} is missing; expected a path")
    return value


def _under_its_name(files: Mapping[str, Path], name: str) -> dict[str, Path]:
    """As Azure mounts a registered folder: AZUREML_MODEL_DIR/<folder>/..."""
    start = f"{from_script.MODELS}/"
    return {f"{start}{name}/{k.removeprefix(start)}" if k.startswith(start) else k: p for k, p in files.items()}


def _handed_over(plan: Plan, source: Source, work: Path) -> Conversion:
    """A model without a script, by the source that knows it."""
    path = plan.model
    if path is None:
        raise BadArtefact(f"{source.path}: neither a scoring script nor a model is named")
    if plan.model_type == "mlflow_model" and not (path / MLMODEL).is_file():
        raise BadArtefact(f"{source.path}: model.type is mlflow_model, but there is no {MLMODEL} in {path}")
    if plan.model_type == "triton_model" and not path.is_dir():
        raise BadArtefact(f"{source.path}: model.type is triton_model, but {path} is no directory")
    if plan.model_type == "triton_model" and not is_entry(path):
        inside = models_in(path) or [p.name for p in sorted(path.iterdir()) if is_entry(p)]
        path = path / inside[0] if len(inside) == 1 else path
    elif path.is_dir() and plan.model_type == "custom_model":
        there = (p for p in sorted(path.iterdir()) if p.is_file() and not p.name.startswith("."))
        files = [p for p in there if not read_documents(p)]
        path = files[0] if len(files) == 1 else path
    inner = replace(source, path=path)
    converter = converter_for(inner)
    if getattr(converter, "__name__", "") == __name__:  # and that one may lead back here
        raise BadArtefact(f"{source.path}: the model's path {path} holds a deployment; name the model's own file")
    made = converter.convert(inner, work)
    made.notes = (*made.notes, *plan.notes)
    return made
