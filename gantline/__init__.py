"""Gantline: package trained models and serve them fast."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .api import build, package, run
    from .client import AsyncClient, Client
    from .errors import GantlineError
    from .packages import Package
    from .registry.registry import Registry
    from .signature import Signature, TensorSpec

# looked up when first used, so that `import gantline` costs nothing
_LAZY = {
    "AsyncClient": "gantline.client",
    "Client": "gantline.client",
    "GantlineError": "gantline.errors",
    "Package": "gantline.packages",
    "Registry": "gantline.registry.registry",
    "Signature": "gantline.signature",
    "TensorSpec": "gantline.signature",
    "build": "gantline.api",
    "package": "gantline.api",
    "run": "gantline.api",
}
__all__ = [
    "AsyncClient",
    "Client",
    "GantlineError",
    "Package",
    "Registry",
    "Signature",
    "TensorSpec",
    "__version__",
    "build",
    "package",
    "run",
]


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'gantline' has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
