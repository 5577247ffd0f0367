"""Keras files looked into before Keras reads them: whose code they would bring along. A .keras file needs no Keras.

A .keras file is a zip whose config.json names every class of the model; a legacy .h5 file has the same as an attribute.
A Lambda layer is marshalled Python, run when it is loaded, a TorchModuleWrapper a pickle. A class of any other module
than Keras's is looked up by importing that module. Keras's own check (safe_mode) sees less of this in older versions.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gantline.errors import BadArtefact

from .source import Source

LAMBDA = "Lambda"
# Layers that bring along what is no model of Keras's, by the name that trusts them. Keras's own check (safe_mode)
# is one switch for all of them, and did not look at the others in older versions.
_CODE = {
    LAMBDA: "which is Python code that runs when the file is loaded",
    "TorchModuleWrapper": "which is a pickle of torch's, and can run any code when the file is loaded",
    "TFSMLayer": "which loads a SavedModel from elsewhere on the disk",
}
# where Keras has functions that do things: fetch files, switch off its checks
_NO_PARTS = frozenset(("utils", "config", "saving", "datasets", "callbacks", "export"))
_MOST_BYTES = 64 << 20  # of a config.json
_MODULES = ("keras", "keras_core", "keras_hub", "keras_nlp", "keras_cv", "tf_keras")
# functions are named with the module "builtins", unless they are somebody's own
_BUILTINS = frozenset(("function", "slice", "tuple", "str", "int", "float", "bool", "dict", "list", "set", "type"))


def check_keras(path: Path, source: Source) -> None:
    """BadArtefact names what code the file would run that is not Keras's own, and how to allow it."""
    config = _of_h5(path) if is_h5(path) else _of_zip(path)
    for kind, module, name in _objects(config):
        trusted = LAMBDA if kind == "__lambda__" else kind
        if trusted in _CODE and module.partition(".")[0] in _MODULES:
            if trusted not in source.trust:
                raise BadArtefact(
                    f"{path}: holds a {trusted} layer ('{name}'), {_CODE[trusted]}; "
                    f"if you trust the file pass --trust {trusted}"
                )
        elif _NO_PARTS & set(module.split(".")[1:]) and module.partition(".")[0] in _MODULES:
            raise BadArtefact(f"{path}: holds {kind} ('{name}') of {module}, which is no part of a model")
        elif not _kerass(module, kind) and not _given(source, module, kind):
            own = f"{module or 'pkg.mod'}:{kind}"
            raise BadArtefact(
                f"{path}: holds {kind} ('{name}'), which is not Keras's own; if you trust its code give the class: "
                f"--module {own if module not in ('', '__main__') else f'pkg.mod:{kind}'}"
            )


def trusts_code(source: Source) -> bool:
    """Whether Keras may load what it calls unsafe: the layers that were found are trusted, one by one."""
    return any(name in source.trust for name in _CODE)


def is_h5(path: Path) -> bool:
    """Whether a file is HDF5, whatever its name."""
    with path.open("rb") as f:
        return f.read(8) == b"\x89HDF\r\n\x1a\n"


def _of_zip(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo("config.json").file_size > _MOST_BYTES:
                raise BadArtefact(f"{path}: its config.json is over {_MOST_BYTES >> 20} MiB")
            return json.loads(archive.read("config.json"))
    except KeyError as e:
        raise BadArtefact(f"{path}: expected a Keras model, found a zip archive without config.json") from e
    except (zipfile.BadZipFile, OSError, ValueError, RecursionError) as e:
        raise BadArtefact(f"{path}: expected a .keras file, found something else, or damaged ({e})") from e


def _of_h5(path: Path) -> Any:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            text = file.attrs.get("model_config")
    except OSError as e:
        raise BadArtefact(f"{path}: damaged, or not HDF5 ({e})") from e
    if text is None:
        raise BadArtefact(f"{path}: holds weights and no model: save the whole one by model.save('model.keras')")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as e:
        raise BadArtefact(f"{path}: its model_config is not JSON ({e})") from e


def _objects(tree: Any) -> Iterator[tuple[str, str, str]]:
    """(class, module, name in the model) of everything serialised in a config. Keras 2 wrote no modules."""
    waiting = [tree]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            kind = one.get("class_name")
            if isinstance(kind, str):
                config = one.get("config")
                name = config.get("name", kind) if isinstance(config, dict) else config if kind == "function" else kind
                registered = str(one.get("registered_name") or "")
                # registered under a package of the user's: "package>Class"
                module = one.get("module") or (registered.partition(">")[0] if ">" in registered else None)
                yield kind, "keras" if module is None else str(module), str(name)[:60]
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _kerass(module: str, kind: str) -> bool:
    if module == "builtins":
        return kind in _BUILTINS
    return module.partition(".")[0] in _MODULES


def _given(source: Source, module: str, kind: str) -> bool:
    """Whether --module names this class, or the module that registers it."""
    given, _, name = source.module.partition(":")
    return bool(given) and (kind == name or module == given)
