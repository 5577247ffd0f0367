"""What a start cannot be less than: containers of the same image that serve nothing."""

from __future__ import annotations

import statistics
from pathlib import Path

from image_engine import Engine

PYTHON = "/opt/gantline/env/bin/python"
MODELS = "/opt/gantline/models"
ONNX = "import onnxruntime\nonnxruntime.InferenceSession({path!r}, providers=['CPUExecutionProvider'])"
# as an Azure scoring script is started, and nothing is asked
SCRIPT = "import os\nos.environ['AZUREML_MODEL_DIR'] = {models!r}\nexec(open({path!r}).read())\ninit()"


def floors(engine: Engine, image: str, package: Path, rounds: int) -> dict[str, float]:
    """Medians, in s, from `run` until Python is there, and until it has loaded the package's model; no server."""
    code = loading(package)
    found: dict[str, list[float]] = {"python alone s": [], "model alone s": []}
    for _ in range(rounds):
        for name, words in zip(found, ("pass", code), strict=True):
            found[name].append(engine.alone(image, PYTHON, words))
    return {name: statistics.median(times) for name, times in found.items()}


def loading(package: Path) -> str:
    """Python that imports what the model needs, and loads it, where an image has it."""
    place = f"{MODELS}/{package.stem}"
    if (package / "code").is_dir():
        return SCRIPT.format(models=f"{place}/models", path=f"{place}/code/score.py")
    return ONNX.format(path=f"{place}/model.onnx")
