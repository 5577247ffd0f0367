"""Keras 3: models in memory, .keras files and legacy .h5 files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from gantline.errors import BadArtefact, Unsupported

from .isolated import Isolated
from .keras_file import check_keras, is_h5
from .source import Conversion, Source
from .tf_child import VARIABLES, interpreter

SUFFIXES = (".keras", ".h5", ".hdf5")
NEEDED = ("tensorflow", "keras", "tf2onnx")


def recognises(source: Source) -> bool:
    """A file by its suffix, or an object that is a keras.Model."""
    if source.path is not None:
        return source.path.suffix.lower() in SUFFIXES
    return source.object is not None and _is_model(source.object)


def convert(source: Source, work: Path) -> Conversion:
    """To ONNX where that is faithful, else a SavedModel behind a script, saying why.

    A file is read by a child process, with TensorFlow as Keras's backend: loading it takes 7 s and 600 MB. A model in
    memory is converted here, where Keras is already.
    """
    if source.path is None:
        return _of_object(source.object, source, work)
    path = source.path
    if not path.is_file():
        raise BadArtefact(f"{path}: no such file; expected a Keras model")
    if not is_h5(path):
        check_keras(path, source)  # again in the child, which has h5py for the others
    environment, elsewhere = interpreter(source, str(path), NEEDED)
    child = Isolated(environment, str(path), "gantline.builders.keras_convert", VARIABLES)
    return replace(child.convert(source, work), elsewhere=elsewhere)


def _of_object(model: Any, source: Source, work: Path) -> Conversion:
    import keras

    where, backend = type(model).__name__, keras.backend.backend()
    if backend != "tensorflow":
        raise Unsupported(
            f"{where}: Keras runs on {backend} here; save it by model.save('model.keras') and package that"
        )
    interpreter(replace(source, environment=None), where, NEEDED)
    from . import keras_convert

    return keras_convert.convert_model(model, source, work, where)


def _is_model(found: Any) -> bool:
    return any(c.__name__ == "Model" and c.__module__.startswith("keras.") for c in type(found).__mro__)
