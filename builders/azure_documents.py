"""AzureDocuments: the JSON and YAML files by which Azure ML is told what to deploy, found and told apart.

v1 (CLI `az ml model deploy --ic --dc`): inferenceconfig and deploymentconfig. v2: deployment, model and environment
YAML. Keys may be in camelCase or snake_case; they are read as snake_case.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from gantline.errors import BadArtefact, Unsupported, UsageError

Tree: TypeAlias = dict[str, Any]
SUFFIXES = (".json", ".yml", ".yaml")
# what the members of a key are the user's own names, which keep their spelling
_OPEN = frozenset(("environment_variables", "tags", "properties", "conda_file", "conda_dependencies", "flavors"))
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
LARGEST = 1 << 20  # bytes of a document: a model in JSON is none


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
                f"{self.path}: {key}: {value} lies in a workspace, which is not asked; download it and write its path "
                "there (az ml model download, az ml environment show)"
            )
        found = self.path.parent / text
        if not found.exists():
            raise BadArtefact(f"{self.path}: {key}: {found}: no such file or directory")
        return found


def read_documents(path: Path) -> list[Document]:
    """Those at the top of a folder, or the one file with its v1 companion; anything that is none is left out."""
    if path.is_file():
        one = _document(path)
        beside = [d for d in read_documents(path.parent) if d.kind == "settings"] if one and _is_v1(one) else []
        return [one, *beside] if one else []
    return [d for p in _candidates(path) if (d := _document(p)) is not None]


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


def _document(path: Path) -> Document | None:
    if path.suffix.lower() not in SUFFIXES or path.stat().st_size > LARGEST:
        return None
    tree = snake(_parsed(path))
    kind = _kind(tree) if isinstance(tree, dict) else ""
    return Document(path, kind, tree) if kind else None


def _parsed(path: Path) -> Any:
    """None for what cannot be read: it is somebody else's file, unless it is the one that is asked for."""
    try:
        text = path.read_text("utf-8")
        if path.suffix.lower() == ".json":
            return json.loads(text)
        import yaml

        return yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, ImportError):
        return None
    except Exception as e:  # yaml's own errors have no base among the built-in ones
        if type(e).__module__.startswith("yaml"):
            return None
        raise


def _kind(tree: Tree) -> str:
    schema = str(tree.get("$schema", "")).lower()
    if "entry_script" in tree:
        return "inference"
    if "compute_type" in tree:
        return "settings"
    if "batchdeployment" in schema or {"mini_batch_size", "output_action", "error_threshold"} & tree.keys():
        return "batch"
    if "onlinedeployment" in schema or "code_configuration" in tree or {"endpoint_name", "model"} <= tree.keys():
        return "deployment"
    if "model.schema" in schema or tree.get("type") in ("custom_model", "mlflow_model", "triton_model"):
        return "model"
    if "environment.schema" in schema:
        return "environment"
    if "onlineendpoint" in schema or {"auth_mode", "name"} <= tree.keys():
        return "endpoint"
    return ""
