"""A scikit-learn estimator behind a generated script: for what has no faithful ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gantline.errors import Unsupported

from .sklearn_answers import Answer
from .sklearn_layout import Layout
from .source import Conversion, Source


def behind_script(
    base: Conversion, estimator: Any, layout: Layout, answers: tuple[Answer, ...], source: Source, work: Path, reasons: list[str]
) -> Conversion:
    raise Unsupported("; ".join(reasons))
