"""Places: where things lie in an image, said once."""

from __future__ import annotations

ROOT = "opt/gantline"
ENVIRONMENT = f"{ROOT}/env"  # a virtual environment: its site-packages hold the runtime and what the package asks for
PYTHON = f"/{ENVIRONMENT}/bin/python"
MODELS = f"{ROOT}/models"
EVIDENCE = f"{ROOT}/evidence"  # lock, bill of materials, licences
USER = 65532  # nobody in particular; the number that distroless images use


def site(python: tuple[int, int]) -> str:
    """site-packages of an image's environment."""
    return f"{ENVIRONMENT}/lib/python{python[0]}.{python[1]}/site-packages"
