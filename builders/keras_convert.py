"""A Keras model -> ONNX where that is faithful, else a SavedModel behind a script. Runs where Keras is."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gantline.errors import BadArtefact

from .from_torch_load import attribute
from .keras_file import check_keras, trusts_code
from .keras_model import studied
from .onnx_trial import Subject, one_line
from .silence import silence
from .source import Conversion, Source
from .tf_convert import drawer, settled, versions
from .tf_saved import DEFAULT


def convert(source: Source, work: Path) -> Conversion:
    """The file at `source.path`, checked before it is loaded; by torch where there is no TensorFlow."""
    path = source.path
    assert path is not None
    check_keras(path, source)
    # this is a process of its own, and Keras is not imported yet
    os.environ["KERAS_BACKEND"] = backend = "tensorflow" if find_spec("tensorflow") else "torch"
    model = _loaded(path, source)
    if backend == "torch":
        from . import keras_torch

        return keras_torch.convert_model(model, source, work, str(path))
    return convert_model(model, source, work, str(path))


def convert_model(model: Any, source: Source, work: Path, where: str) -> Conversion:
    """The same for a model in memory, whose backend is TensorFlow."""
    with silence():
        found = studied(model, source.sample, where)
        try:
            found.save(work / "saved")
        except Exception as e:  # TensorFlow raises whatever it meets
            raise BadArtefact(f"{where}: cannot be written as a SavedModel: {one_line(e)}") from e
    subject = Subject(where, found.signature, found.predict, drawer(found.signature, found.rules()))
    base = Conversion("", "keras", type(model).__name__, {}, versions=versions())
    return settled(subject, base, work / "saved", DEFAULT, source, work)


def _loaded(path: Path, source: Source) -> Any:
    import keras

    custom = {}
    if source.module:
        name = source.module.partition(":")[2].rpartition(".")[2]
        custom = {name: attribute(source.module)}
    try:
        return keras.saving.load_model(path, custom_objects=custom, compile=False, safe_mode=not trusts_code(source))
    except Exception as e:  # Keras raises whatever it meets
        raise BadArtefact(f"{path}: Keras {keras.__version__} cannot load it: {one_line(e)}") from e
