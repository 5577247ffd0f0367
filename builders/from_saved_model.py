"""TensorFlow: SavedModel directories, and tf.Module, tf.function or concrete function objects in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from gantline.errors import BadArtefact, GantlineError, UsageError

from .isolated import Isolated
from .onnx_trial import one_line
from .silence import silence
from .source import Conversion, Source
from .tf_child import VARIABLES, interpreter

FILES = ("saved_model.pb", "saved_model.pbtxt")
_FUNCTIONS = ("ConcreteFunction", "Function", "PolymorphicFunction", "AtomicFunction")


def recognises(source: Source) -> bool:
    """A directory with saved_model.pb, or an object of TensorFlow's: a tf.Module, a function, a loaded SavedModel."""
    if source.path is not None:
        return source.path.is_dir() and any((source.path / name).is_file() for name in FILES)
    return source.object is not None and bool(_kind(source.object))


def convert(source: Source, work: Path) -> Conversion:
    """One signature to ONNX where that is faithful, else behind a script.

    A directory is read by a child process: TensorFlow takes 7 s and 600 MB, and logs as it likes. Objects are of this
    process, which has TensorFlow already: they are saved, and that is converted and asked here.
    """
    if source.path is not None:
        if not (source.path / FILES[0]).is_file():
            raise BadArtefact(f"{source.path}: is a SavedModel written as text; save it again, as {FILES[0]}")
        environment, elsewhere = interpreter(source, str(source.path), ("tensorflow", "tf2onnx"))
        child = Isolated(environment, str(source.path), "gantline.builders.tf_convert", VARIABLES)
        return replace(child.convert(source, work), elsewhere=elsewhere)
    where = type(source.object).__name__
    interpreter(replace(source, environment=None), where, ("tensorflow", "tf2onnx"))
    saved = work / "saved"
    try:
        with silence():
            _save(source.object, source.signature, saved, where)
    except GantlineError:
        raise
    except Exception as e:  # TensorFlow raises whatever it meets
        raise BadArtefact(f"{where}: cannot be written as a SavedModel: {one_line(e)}") from e
    from . import tf_convert

    made = tf_convert.convert(replace(source, path=saved, signature=""), work)
    return replace(made, type=f"{type(source.object).__module__}.{type(source.object).__qualname__}")


def _kind(found: Any) -> str:
    for kind in type(found).__mro__:
        if kind.__module__.startswith("tensorflow."):
            if kind.__name__ in _FUNCTIONS:
                return "function"
            if kind.__name__ in ("Module", "AutoTrackable"):
                return "module"
    return ""


def _save(found: Any, wanted: str, saved: Path, where: str) -> None:
    """Save the object with one signature, serving_default."""
    import tensorflow as tf

    if _kind(found) == "function":
        concrete = _concrete(found, where)
        holder = tf.Module()
        holder.read = list(concrete.graph.variables)  # a function does not own the variables that it reads
        tf.saved_model.save(holder, str(saved), signatures=concrete)
        return
    signatures = dict(getattr(found, "signatures", None) or {})  # of a SavedModel that was loaded
    known = signatures or dict(_functions(found))
    name = wanted or next((n for n in ("serving_default", "serve", "__call__") if n in known), "")
    if not name and len(known) == 1:
        name = next(iter(known))
    if name not in known:
        there = ", ".join(sorted(known)) or "none: give a tf.function of it an input_signature"
        raise UsageError(
            f"{where}: {f'has no signature {name!r}' if name else 'choose a signature'}; there are: {there}"
        )
    tf.saved_model.save(found, str(saved), signatures=_concrete(known[name], where))


def _functions(found: Any) -> Iterator[tuple[str, Any]]:
    """The methods of a tf.Module that are a tf.function with an input_signature."""
    for name in dir(type(found)) + list(vars(found)):
        method = getattr(found, name, None)
        if method is not None and _kind(method) == "function" and getattr(method, "input_signature", None) is not None:
            yield name, method


def _concrete(function: Any, where: str) -> Any:
    if not hasattr(function, "get_concrete_function"):
        return function
    try:
        return function.get_concrete_function()
    except Exception as e:  # no input_signature: ValueError or TypeError, by version
        raise UsageError(
            f"{where}: has no signature: give tf.function an input_signature, or package get_concrete_function(...)"
        ) from e
