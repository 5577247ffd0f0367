"""Keras 3: models in memory, .keras files and legacy .h5 files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gantline.errors import BadArtefact
from gantline.signature import Signature
from gantline.tensors import Array

from .isolated import Isolated
from .keras_file import LAMBDA, check_keras, is_h5
from .source import Conversion, Source
from .tf_child import VARIABLES, interpreter

SUFFIXES = (".keras", ".h5", ".hdf5")
NEEDED = ("tensorflow", "keras", "tf2onnx")
BY_TORCH = ("keras", "torch", "onnxscript")


def recognises(source: Source) -> bool:
    """A file by its suffix, or an object that is a keras.Model."""
    if source.path is not None:
        return source.path.suffix.lower() in SUFFIXES
    return source.object is not None and _is_model(source.object)


def convert(source: Source, work: Path) -> Conversion:
    """To ONNX where that is faithful, else a SavedModel behind a script, saying why.

    A file is read by a child process, with TensorFlow as Keras's backend, or torch where there is no TensorFlow: that
    takes 7 s and 600 MB. A model in memory is converted here, where Keras is already.
    """
    if source.path is None:
        return _of_object(source.object, source, work)
    path = source.path
    if not path.is_file():
        raise BadArtefact(f"{path}: no such file; expected a Keras model")
    if not is_h5(path):
        check_keras(path, source)  # again in the child, which has h5py for the others
    by_torch = find_spec("tensorflow") is None and find_spec("torch") is not None
    environment, elsewhere = interpreter(source, str(path), BY_TORCH if by_torch else NEEDED)
    child = Isolated(environment, str(path), "gantline.builders.keras_convert", VARIABLES)
    return replace(child.convert(source, work), elsewhere=elsewhere)


def _of_object(model: Any, source: Source, work: Path) -> Conversion:
    import keras

    where, backend = type(model).__name__, keras.backend.backend()
    if backend == "torch":
        from . import keras_torch

        return keras_torch.convert_model(model, source, work, where)
    if backend != "tensorflow":
        return _by_another(model, backend, source, work)
    interpreter(replace(source, environment=None), where, NEEDED)
    from . import keras_convert

    return keras_convert.convert_model(model, source, work, where)


def _by_another(model: Any, backend: str, source: Source, work: Path) -> Conversion:
    """A model on jax (whose programs nothing turns into ONNX) is saved, and loaded on TensorFlow or torch by a child.

    The answers that the package is held to are those of the model in memory.
    """
    import keras

    saved = work / "model.keras"
    model.save(saved)
    trusted = (*source.trust, LAMBDA)  # the user's own code, in memory already
    made = convert(replace(source, path=saved, object=None, trust=trusted), work)
    from .keras_model import KerasModel, inputs_of

    specs, structure = inputs_of(model, source.sample, type(model).__name__)
    own = KerasModel(model, Signature(specs, ()), structure)

    def predict(inputs: Mapping[str, Array]) -> list[Array]:
        return [keras.ops.convert_to_numpy(t) for t in own.call([inputs[t.name] for t in specs])]

    note = f"converted by another backend of Keras's than {backend}, and compared with what {backend} answers"
    return replace(made, predict=predict, notes=(*made.notes, note))


def _is_model(found: Any) -> bool:
    return any(c.__name__ == "Model" and c.__module__.startswith("keras.") for c in type(found).__mro__)
