"""Repository layout: what the REFs of `gantline serve` hold, found by one scan that loads and hashes nothing.

A REF is one of
1. a package: a directory with manifest.json;
2. a bare model: a file that ends in .onnx, served under its stem;
3. a model of a Triton repository: a directory with config.pbtxt or numbered version directories;
4. a directory of any of these, one level deep.
A broken REF of kinds 1 to 3 is an error; inside a directory it becomes an Entry with its reason, and the others serve.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from gantline.errors import BadArtefact, GantlineError, Unsupported, UsageError
from gantline.packages import MANIFEST, Package

from .entry import Entry
from .model_config import CONFIG, ONNX_FILE, ModelConfig, latest

_log = logging.getLogger("gantline.repository")
_EXPECTED = f"expected a package ({MANIFEST}), an .onnx file, or NAME/VERSION/{ONNX_FILE}"


def find_entries(refs: Sequence[str], only: str = "", config: str = "") -> list[Entry]:
    """Every model version that the REFs hold, in their order. UsageError names both places of a duplicate name.

    `only`: the model of that name alone; `config`: a configuration as JSON in place of its config.pbtxt.
    """
    found: list[Entry] = []
    places: dict[str, Path] = {}
    for ref in refs:
        for place, entries in _models(ref, only, config):
            if only and (not entries or entries[0].name != only):
                continue
            for name in {e.name: None for e in entries}:
                if name in places:
                    raise UsageError(f"model '{name}' is in {places[name]} and in {place}; serve one of them")
                places[name] = place
            found += entries
    return found


def _models(ref: str, only: str, config: str) -> Iterator[tuple[Path, list[Entry]]]:
    scheme, colon, _ = ref.partition("://")
    if colon:
        raise Unsupported(f"{ref}: REFs of {scheme}:// are not served yet; give a path")
    path = Path(ref)
    if only and not path.exists():
        return  # gone since the start: its models are not found, the others still are
    if not path.exists():
        raise BadArtefact(f"{path}: no such file or directory; {_EXPECTED}")
    found = _model(path, only, config)
    if found is not None:
        for entry in found:
            if entry.problem and only in ("", entry.name):
                raise BadArtefact(entry.problem)
        yield path, found
        return
    if not path.is_dir():
        raise BadArtefact(f"{path}: not a model; {_EXPECTED}")
    empty = True
    for place in _children(path):
        found = _model(place, only, config)
        if found is None:
            if place.is_dir():
                _log.info("%s holds no model: left out", place)
            continue
        empty = False
        yield place, found
    if empty and not only:
        raise BadArtefact(f"{path}: holds no models; {_EXPECTED}")


def _children(path: Path) -> list[Path]:
    try:
        with os.scandir(path) as found:
            return [path / name for name in sorted(e.name for e in found) if not name.startswith(".")]
    except OSError as e:
        raise BadArtefact(f"{path}: cannot be read: {e.strerror}") from e


def _model(path: Path, only: str, config: str) -> list[Entry] | None:
    """The versions of the model at a path, a single Entry with its problem if it is broken, or None for no model.

    Empty for a model that is seen not to be the one wanted, without reading more of it.
    """
    if path.suffix.lower() == ".onnx" and path.is_file():
        if config and path.stem == only:
            problem = f"model '{only}' is a file without a configuration, and takes none"
            return [Entry(only, "1", None, problem=problem)]
        return [Entry(path.stem, "1", Package.bare(path, path.stem))]
    try:
        names = {e.name: e.is_dir() for e in os.scandir(path)}
    except OSError:  # a file, or not readable: not a model
        return None
    try:
        if MANIFEST in names:
            package = Package.open(path)
            if config and package.name == only:
                problem = f"model '{only}' is a package, which is immutable: it takes no other configuration"
                return [Entry(only, "1", None, problem=problem)]
            return [Entry(package.name, package.version, package)]
        if CONFIG in names or _is_triton(path, names):
            return [] if only not in ("", path.resolve().name) else _versions(path, names, config)
    except GantlineError as e:
        return [Entry(path.name.removesuffix(".pkg"), "1", None, problem=e.message)]
    return None


def _is_triton(path: Path, names: dict[str, bool]) -> bool:
    # A directory of packages may have numbers for names too: those hold a manifest.
    numbered = _numbers(names)
    if numbered:
        return not (path / str(numbered[0]) / MANIFEST).exists()
    return ONNX_FILE in names  # a version directory was forgotten: said by _versions


def _versions(path: Path, names: dict[str, bool], override: str) -> list[Entry]:
    name = path.resolve().name
    config = ModelConfig.read(path / CONFIG) if CONFIG in names and not override else None
    if override:
        config = ModelConfig.from_json(override, path / CONFIG)
    if config is not None and config.name not in ("", name):
        raise BadArtefact(f"{config.path}: name is '{config.name}', the directory is '{name}': they must be the same")
    numbered = _numbers(names)
    if not numbered:
        raise BadArtefact(f"{path}: no version directory; expected {path.name}/1/{ONNX_FILE}")
    chosen = latest(numbered) if config is None else config.versions(numbered)
    if not chosen:
        raise BadArtefact(f"{path}: version_policy serves none of the versions {', '.join(map(str, numbered))}")
    if config is not None and config.ignored:
        _log.warning("%s: not acted on: %s", config.path, ", ".join(config.ignored))
    return [_version(path / str(v), name, str(v), config) for v in chosen]


def _version(path: Path, name: str, version: str, config: ModelConfig | None) -> Entry:
    file = path / (ONNX_FILE if config is None else config.model_file)
    if file.is_dir():
        file = file / file.name  # Triton's layout for a model with external data: model.onnx/model.onnx
    if not file.is_file():
        there = sorted(e.name for e in path.iterdir())[:3]
        found = f"found {', '.join(there)}" if there else "the directory is empty"
        return Entry(name, version, None, config, f"{path}: no {file.name} ({found})")
    return Entry(name, version, Package.bare(file, name, version), config)


def _numbers(names: dict[str, bool]) -> list[int]:
    """Version directories in ascending order; as in Triton, a name that is no number or begins with 0 is none."""
    return sorted(int(n) for n, is_dir in names.items() if is_dir and n.isascii() and n.isdigit() and n[0] != "0")
