"""AzureDocuments: the JSON and YAML files by which Azure ML is told what to deploy, found and told apart.

v1 (CLI `az ml model deploy --ic --dc`): inferenceconfig and deploymentconfig. v2: deployment, model and environment
YAML. Keys may be in camelCase or snake_case; they are read as snake_case.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from gantline.errors import BadArtefact, Unsupported, UsageError
from gantline.yaml_file import parse_yaml, read_yaml

from .from_script import USUAL

Tree: TypeAlias = dict[str, Any]
SUFFIXES = (".json", ".yml", ".yaml")
# what the members of a key are the user's own names, which keep their spelling
_OPEN = frozenset((
    "environment_variables", "tags", "properties", "conda_file", "conda_dependencies", "flavors", "traffic",
    "mirror_traffic",
))  # fmt: skip
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
LARGEST = 1 << 20  # bytes of a document: a model in JSON is none
# what any document of Azure's holds, in one spelling or the other; and what no other file does
_CERTAIN = (b"azuremlschemas", b"entryScript", b"entry_script", b"code_configuration")
_MARKS = (
    *_CERTAIN, b"computeType", b"compute_type", b"endpoint_name", b"custom_model", b"mlflow_model", b"triton_model",
    b"schema.json", b"auth_mode", b"endpointName", b"codeConfiguration", b"authMode", b"traffic",
)  # fmt: skip
TYPES = ("custom_model", "mlflow_model", "triton_model")
_ONLINE = {"endpoint_name", "name"}  # of a deployment that says no more than that
_OF_BATCHES = frozenset(("mini_batch_size", "output_action", "error_threshold"))


@dataclass(frozen=True, slots=True)
class Document:
    """`kind`: inference, settings (both v1), deployment, batch, model, environment or endpoint (v2)."""

    path: Path
    kind: str
    tree: Tree

    def path_of(self, value: Any, key: str) -> Path:
        """A path that it names: relative ones begin at the document. BadArtefact if nothing is there."""
        if not isinstance(value, str) or not value:
            raise BadArtefact(f"{self.path}: {key}: expected a path, found {value!r:.60}")
        text = value.removeprefix("file:")
        if value.startswith(("azureml:", "azureml://", "http://", "https://", "wasbs://", "abfss://")):
            raise Unsupported(
                f"{self.path}: {key}: {value:.100} lies in a workspace, which is not asked; download it and write its "
                "path there (az ml model download, az ml environment show)"
            )
        found = self.path.parent / text
        if not _holds(found.exists):
            raise BadArtefact(f"{self.path}: {key}: {found!s:.300}: no such file or directory")
        return found

    def check_file(self, path: Path, key: str) -> None:
        """BadArtefact if it names no file there."""
        if not _holds(path.is_file):
            raise BadArtefact(f"{self.path}: {key}: {path!s:.300}: no such file")

    def part(self, tree: Tree, key: str) -> Tree:
        """An object inside, empty where nothing is said. BadArtefact for anything else."""
        found = tree.get(key) or {}
        if not isinstance(found, dict):
            raise BadArtefact(f"{self.path}: {key}: expected an object with keys, found {found!r:.60}")
        return found


def _holds(asked: Callable[[], bool]) -> bool:
    try:
        return asked()
    except OSError:  # a name that is too long, or not to be looked at
        return False


def read_documents(path: Path) -> list[Document]:
    """Those at the top of a folder, or the one file with its v1 companion; anything that is none is left out.

    BadArtefact for one that speaks of Azure and cannot be read, unless a script in the folder is what is meant.
    """
    if path.is_file():
        one = _document(path)
        beside = [d for d in _found(path.parent, []) if d.kind == "settings"] if one and _is_v1(one) else []
        return [one, *beside] if one else []
    problems: list[BadArtefact] = []
    found = _found(path, problems)
    if problems and not any((path / name).is_file() for name in USUAL):
        raise problems[0]
    return found


def _found(folder: Path, problems: list[BadArtefact]) -> list[Document]:
    found = []
    for place in _candidates(folder):
        try:
            found.append(_document(place))
        except BadArtefact as e:
            problems.append(e)
    return [d for d in found if d is not None]


def only(documents: list[Document], kind: str, where: Path) -> Document | None:
    """The one document of a kind; UsageError lists them where there are several."""
    found = [d for d in documents if d.kind == kind]
    if len(found) > 1:
        names = ", ".join(d.path.name for d in found)
        raise UsageError(f"{where}: {len(found)} documents say what to deploy ({names}): give the path of one of them")
    return found[0] if found else None


def snake(tree: Any) -> Any:
    """The same with keys in snake_case, but for those that are the user's own."""
    if isinstance(tree, Mapping):
        out = {}
        for key, value in tree.items():
            name = _CAMEL.sub("_", str(key)).lower()
            out[name] = value if name in _OPEN else snake(value)
        return out
    return [snake(v) for v in tree] if isinstance(tree, list) else tree


def _is_v1(document: Document) -> bool:
    return document.kind == "inference"


def _candidates(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES and path.is_file() and path.stat().st_size <= LARGEST:
            yield path


def environment_of(path: Path) -> Document:
    """A file that is said to hold an environment, whatever it says of itself. BadArtefact if it holds no keys."""
    tree = snake(read_yaml(path))
    if not isinstance(tree, dict):
        raise BadArtefact(f"{path}: expected an environment with its keys, found {type(tree).__name__}")
    return Document(path, "environment", tree)


def _document(path: Path) -> Document | None:
    """None for somebody else's file. BadArtefact for one that speaks of Azure and cannot be read."""
    if path.suffix.lower() not in SUFFIXES:
        return None
    try:
        data = path.read_bytes() if path.stat().st_size <= LARGEST else b""
    except OSError:
        return None
    if not any(mark in data for mark in _MARKS):
        return None  # most files are somebody else's, and to parse YAML takes time
    try:
        tree = snake(parse_yaml(data.decode("utf-8-sig"), str(path), True) if _is_yaml(path) else json.loads(data))
    except (BadArtefact, ValueError, RecursionError) as e:
        if any(mark in data for mark in _CERTAIN):
            told = str(e).removeprefix(f"{path}")
            raise BadArtefact(f"{path}{told}" if isinstance(e, BadArtefact) else f"{path}: not JSON ({told})") from e
        return None
    kind = _kind(tree) if isinstance(tree, dict) else ""
    return Document(path, kind, tree) if kind else None


def _is_yaml(path: Path) -> bool:
    return path.suffix.lower() != ".json"


def _kind(tree: Tree) -> str:
    schema = str(tree.get("$schema", "")).lower()
    if "entry_script" in tree:
        return "inference"
    if "compute_type" in tree:
        return "settings"
    if "batchdeployment" in schema or (_OF_BATCHES & tree.keys() and {"endpoint_name", "model"} <= tree.keys()):
        return "batch"
    if "onlinedeployment" in schema or "code_configuration" in tree or {"endpoint_name", "model"} <= tree.keys():
        return "deployment"
    if tree.keys() >= _ONLINE:
        return "deployment"
    if "model.schema" in schema or ("path" in tree and tree.get("type") in TYPES):
        return "model"
    if "environment.schema" in schema:
        return "environment"
    if "onlineendpoint" in schema or {"auth_mode", "name"} <= tree.keys() or tree.keys() == {"name", "traffic"}:
        return "endpoint"
    return ""
