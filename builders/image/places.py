"""Places: where things lie in an image, said once."""

from __future__ import annotations

ROOT = "opt/gantline"
LIBRARY = f"{ROOT}/lib"  # holds Gantline, and nothing else: the one entry of a script's path into the server's world
ENVIRONMENT = f"{ROOT}/env"  # a virtual environment: what serving needs, and what the package asks for
SCRIPT_ENVIRONMENT = f"{ROOT}/script-env"  # where the two cannot be one, what the package asks for
MODELS = f"{ROOT}/models"
EVIDENCE = f"{ROOT}/evidence"  # lock, bill of materials, licences
USER = 65532  # nobody in particular; the number that distroless images use


def site(environment: str, python: tuple[int, int]) -> str:
    """site-packages of one of an image's environments."""
    return f"{environment}/lib/python{python[0]}.{python[1]}/site-packages"


def interpreter(environment: str) -> str:
    """The absolute path of an environment's Python."""
    return f"/{environment}/bin/python"
