"""Shim for azureml.core.model: Model.get_model_path, over the package's model directory."""

from __future__ import annotations

import os


class Model:
    """Where registered models lie. Everything else of Azure's Model needs a workspace, and so azureml-core."""

    @staticmethod
    def get_model_path(model_name: str, version: int | None = None, _workspace: object = None) -> str:
        """The path of a model's one file or directory: `<models>/<name>/<version>/<entry>` with the highest version,
        or `<models>/<name>`, or the one entry of the package's model directory, or `./<name>`.
        """
        models = os.environ.get("AZUREML_MODEL_DIR", "")
        root = os.environ.get("AML_APP_ROOT", os.getcwd())
        for base in (models, os.path.join(root, "azureml-models")):
            found = _in(base, model_name, version)
            if found:
                return found
        only = _single(models)
        if only and version is None and os.path.realpath(models) != os.path.realpath(root):
            return only
        if os.path.exists(model_name):
            return model_name
        raise FileNotFoundError(
            f"Model {model_name!r} (version {version or 'any'}) is not under {models or 'AZUREML_MODEL_DIR'} "
            f"nor {os.path.join(root, 'azureml-models')} nor {os.getcwd()}"
        )


def _in(base: str, name: str, version: int | None) -> str | None:
    folder = os.path.join(base, name)
    if not base or not os.path.exists(folder):
        return None
    versions = sorted(int(v) for v in os.listdir(folder) if v.isdigit()) if os.path.isdir(folder) else []
    if not versions:
        return folder if version is None else None
    wanted = versions[-1] if version is None else int(version)
    if wanted not in versions:
        return None
    inside = os.path.join(folder, str(wanted))
    if not os.path.isdir(inside):
        return inside
    only = _single(inside)
    if only is None:
        raise FileNotFoundError(f"{inside} holds {len(os.listdir(inside))} entries; expected exactly one")
    return only


def _single(folder: str) -> str | None:
    entries = os.listdir(folder) if folder and os.path.isdir(folder) else []
    return os.path.join(folder, entries[0]) if len(entries) == 1 else None
