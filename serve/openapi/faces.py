"""The faces that the document describes. A new one is a row here, and a test holds them equal to the router's paths."""

from __future__ import annotations

from .administration import DOCS, SERVER
from .azure import AZURE
from .generate import GENERATE
from .mlflow import MLFLOW
from .operation import Face
from .v1 import V1
from .v2 import V2

FACES: tuple[Face, ...] = (V2, GENERATE, V1, AZURE, MLFLOW, SERVER, DOCS)
