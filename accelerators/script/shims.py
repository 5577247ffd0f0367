"""Shims: stand-ins for Azure's and Triton's packages, so that an unedited script runs where they are not installed.

A finder of last resort: it is asked after all others, so an installed package always wins. Host only.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

# module -> our module that holds its names; None: a package that only leads to others
MODULES: dict[str, str | None] = {
    "azureml": None,
    "azureml.core": None,
    "azureml.core.model": "shim_model",
    "azureml.contrib": None,
    "azureml.contrib.services": None,
    "azureml.contrib.services.aml_request": "shim_http",
    "azureml.contrib.services.aml_response": "shim_http",
    "azureml.monitoring": "shim_monitoring",
    "azureml.ai": None,
    "azureml.ai.monitoring": "shim_monitoring",
    "azureml_inference_server_http": None,
    "azureml_inference_server_http.api": None,
    "azureml_inference_server_http.api.aml_request": "shim_http",
    "azureml_inference_server_http.api.aml_response": "shim_http",
    "inference_schema": None,
    "inference_schema.schema_decorators": "shim_schema",
    "inference_schema.schema_util": "shim_schema",
    "inference_schema.parameter_types": None,
    "inference_schema.parameter_types.abstract_parameter_type": "shim_types",
    "inference_schema.parameter_types.numpy_parameter_type": "shim_types",
    "inference_schema.parameter_types.pandas_parameter_type": "shim_types",
    "inference_schema.parameter_types.standard_py_parameter_type": "shim_types",
    "triton_python_backend_utils": "shim_triton",
}
_PACKAGES = {name.rpartition(".")[0] for name in MODULES}


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules of the table and makes each with the names of ours."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in MODULES:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=name in _PACKAGES)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        own = MODULES[module.__name__]
        if own is None:
            if module.__name__ == "azureml.core":
                module.__getattr__ = _core  # type: ignore[method-assign]  # `from azureml.core import Model`
            return
        ours = import_module(f"{__package__}.{own}")
        module.__dict__.update({k: v for k, v in vars(ours).items() if not k.startswith("_")})
        module.__getattr__ = lambda name: getattr(ours, name)  # type: ignore[method-assign]  # flags that change later
        if own == "shim_schema":
            import_module("inference_schema.schema_util")  # where contract.py looks


def _core(name: str) -> object:
    if name != "Model":
        raise AttributeError(f"this stand-in for azureml.core has Model only; install azureml-core for {name!r}")
    return import_module("azureml.core.model").Model


def install() -> None:
    """Put the finder behind all others."""
    sys.meta_path.append(Finder())
