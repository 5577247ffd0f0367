"""Repository layout: what the REFs of `gantline serve` hold, found by one scan that loads and hashes nothing.

A REF is one of
1. a package: a directory with manifest.json;
2. several versions of a package: a directory of numbered packages that all have one name;
3. a bare model: a file that ends in .onnx, served under its stem;
4. a model of a Triton repository: a directory with config.pbtxt or numbered version directories; below a config.pbtxt
   these may be packages, too;
5. a directory of any of these, one level deep.
A broken REF of kinds 1 to 4 is an error; inside a directory it becomes an Entry with its reason, and the others serve.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from gantline.accelerators.triton.configured import own_config
from gantline.accelerators.triton.model_config import CONFIG, ONNX_FILE, ModelConfig
from gantline.accelerators.triton.named_file import named_file
from gantline.accelerators.triton.versions import LATEST, Policy

from gantline.errors import BadArtefact, GantlineError, Unsupported, UsageError
from gantline.packages import MANIFEST, Package

from .entry import Entry

_log = logging.getLogger("gantline.repository")
_EXPECTED = f"expected a package ({MANIFEST}), an .onnx file, or NAME/VERSION/{ONNX_FILE}"

Mark: TypeAlias = tuple[int, int, int]  # of a manifest: time of change, size and inode
# model name, what its config.pbtxt says of versions or "" -> which of its versions serve
Choose: TypeAlias = Callable[[str, str], Policy]


def by_default(name: str, said: str) -> Policy:
    """What config.pbtxt says, else the latest."""
    return Policy(said or LATEST)


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for. `only`: the model of that name alone; `config`: JSON in place of its config.pbtxt.

    None looks for all: an empty name does not, it may come from a client.
    `names` remembers which place held which model: a package whose manifest is half written keeps its name.
    `patient`: a REF that holds no models yet is no error.
    `packages` remembers what was read: of a thousand manifests those are read again that have changed.
    """

    only: str | None = None
    config: str = ""
    choose: Choose = by_default
    names: dict[Path, str] = field(default_factory=dict)
    patient: bool = False
    packages: dict[Path, tuple[Mark, Package]] = field(default_factory=dict)

    def wants(self, name: str) -> bool:
        return self.only is None or self.only == name

    def open(self, place: Path) -> Package:
        """The package there. BadArtefact if it is none."""
        try:
            found = (place / MANIFEST).stat()
        except OSError:
            return Package.open(place)  # which says why not
        mark = found.st_mtime_ns, found.st_size, found.st_ino
        known = self.packages.get(place)
        if known is None or known[0] != mark:
            known = self.packages[place] = mark, Package.open(place)
        return known[1]

    def keep(self, places: Iterable[Path]) -> None:
        """Forget what was read of models that do not lie at these places."""
        there = set(places)
        for gone in [p for p in list(self.packages) if p not in there and p.parent not in there]:
            self.packages.pop(gone, None)


def find_entries(refs: Sequence[str], search: Search | None = None) -> list[Entry]:
    """Every model version that serves, in the REFs' order. UsageError names both places of a duplicate name."""
    search = search or Search()
    found: list[Entry] = []
    places: dict[str, Path] = {}
    for ref in refs:
        for place, entries in _models(ref, search):
            if search.only is not None and (not entries or entries[0].name != search.only):
                continue
            for name in {e.name: None for e in entries}:
                if name in places:
                    raise UsageError(f"model '{name}' is in {places[name]} and in {place}; serve one of them")
                places[name] = place
            found += (replace(e, place=place) for e in entries)
    if search.only is None:
        search.keep(places.values())
    return found


def _models(ref: str, search: Search) -> Iterator[tuple[Path, list[Entry]]]:
    scheme, colon, _ = ref.partition("://")
    if colon:
        raise Unsupported(f"{ref}: REFs of {scheme}:// are not served yet; give a path")
    path = Path(ref)
    if search.only is not None and not path.exists():
        return  # gone since the start: its models are not found, the others still are
    if not path.exists():
        raise BadArtefact(f"{path}: no such file or directory; {_EXPECTED}")
    found = _model(path, search)
    if found is not None:
        for entry in found:
            if entry.problem and search.wants(entry.name) and not search.patient:
                raise BadArtefact(entry.problem)
        yield path, found
        return
    if not path.is_dir():
        raise BadArtefact(f"{path}: not a model; {_EXPECTED}")
    empty = True
    for place in _children(path):
        found = _model(place, search)
        if found is None:
            if place.is_dir():
                _log.log(logging.DEBUG if search.patient else logging.INFO, "%s holds no model: left out", place)
            continue
        empty = False
        yield place, found
    if empty and search.only is None and not search.patient:
        raise BadArtefact(f"{path}: holds no models; {_EXPECTED}")


def _children(path: Path) -> list[Path]:
    try:
        with os.scandir(path) as found:
            return [path / name for name in sorted(e.name for e in found) if not name.startswith(".")]
    except OSError as e:
        raise BadArtefact(f"{path}: cannot be read: {e.strerror}") from e


def _model(path: Path, search: Search) -> list[Entry] | None:
    """The versions of the model at a path, a single Entry with its problem if it is broken, or None for no model.

    Empty for a model that is seen not to be the one wanted, without reading more of it.
    """
    if path.suffix.lower() == ".onnx" and path.is_file():
        if search.config and path.stem == search.only:
            problem = f"model '{path.stem}' is a file without a configuration, and takes none"
            return [Entry(path.stem, "1", None, problem=problem)]
        if not search.wants(path.stem):
            return []
        policy = search.choose(path.stem, "")
        try:
            policy.choose([1], path)
        except BadArtefact as e:
            return [Entry(path.stem, "1", None, problem=e.message)]
        pinned = policy.pin == 1
        return [Entry(path.stem, "1", Package.bare(path, path.stem), pinned=pinned, versions=policy.words)]
    try:
        with os.scandir(path) as listed:
            names = {e.name: e.is_dir() for e in listed}
    except OSError:  # a file, or not readable: not a model
        return None
    try:
        if MANIFEST in names:
            return _packages(path, [1], [search.open(path)], search)
        if CONFIG not in names and (packages := _numbered_packages(path, names, search)):
            return _packages(path, _numbers(names), packages, search)
        if CONFIG in names or _is_triton(path, names):
            return _versions(path, names, search) if search.wants(path.resolve().name) else []
    except GantlineError as e:
        name = search.names.get(path) or path.name.removesuffix(".pkg")
        # as the version that would serve, whatever is wrong with it
        return [Entry(name, str(max(_numbers(names), default=1)), None, problem=e.message)]
    return None


def _numbered_packages(path: Path, names: dict[str, bool], search: Search) -> list[Package | str]:
    """The versions of one package in ascending order, a problem for each that is broken.

    None when they are packages of several names, or no packages.
    """
    found: list[Package | str] = []
    for number in _numbers(names):
        place = path / str(number)
        if not (place / MANIFEST).exists():
            return []
        try:
            found.append(replace(search.open(place), version=str(number)))
        except GantlineError as e:
            found.append(e.message)
    return found if len({p.name for p in found if isinstance(p, Package)}) == 1 else []


def _packages(path: Path, numbers: list[int], packages: Sequence[Package | str], search: Search) -> list[Entry]:
    name = next(p.name for p in packages if isinstance(p, Package))
    search.names[path] = name
    if search.config and name == search.only:
        problem = f"model '{name}' is a package, which is immutable: it takes no other configuration"
        return [Entry(name, "1", None, problem=problem)]
    if not search.wants(name):
        return []
    policy = search.choose(name, "")
    entries = []
    for number in policy.choose(numbers, path):
        one = packages[numbers.index(number)]
        package, problem = (one, "") if isinstance(one, Package) else (None, one)
        config = own_config(package) if package is not None else None
        pinned = number == policy.pin
        entries.append(Entry(name, str(number), package, config, problem, pinned, versions=policy.words))
    return entries


def _is_triton(path: Path, names: dict[str, bool]) -> bool:
    # A directory of packages may have numbers for names too: those hold a manifest.
    numbered = _numbers(names)
    if numbered:
        return not (path / str(numbered[0]) / MANIFEST).exists()
    return ONNX_FILE in names  # a version directory was forgotten: said by _versions


def _versions(path: Path, names: dict[str, bool], search: Search) -> list[Entry]:
    name = path.resolve().name
    config = ModelConfig.read(path / CONFIG) if CONFIG in names and not search.config else None
    if search.config:
        config = ModelConfig.from_json(search.config, path / CONFIG)
    if config is not None and config.name not in ("", name):
        raise BadArtefact(f"{config.path}: name is '{config.name}', the directory is '{name}': they must be the same")
    numbered = _numbers(names)
    if not numbered:
        raise BadArtefact(f"{path}: no version directory; expected {path.name}/1/{ONNX_FILE}")
    policy = search.choose(name, config.versions if config is not None else "")
    chosen = policy.choose(numbered, path)
    if config is not None and config.ignored and not search.patient:
        _log.warning("%s: not acted on: %s", config.path, ", ".join(config.ignored))
    found = [(v, _version(path / str(v), name, str(v), config, search)) for v in chosen]
    return [replace(e, pinned=v == policy.pin, versions=policy.words) for v, e in found]


def _version(path: Path, name: str, version: str, config: ModelConfig | None, search: Search) -> Entry:
    if config is not None and (path / MANIFEST).is_file():
        package = replace(search.open(path), version=version)
        if package.name != name:
            raise BadArtefact(f"{path}: its package is '{package.name}', the directory '{name}'; make them the same")
        return Entry(name, version, package, config)
    file = path / ONNX_FILE
    if config is not None:
        file = named_file(path, config.model_file, f"{config.path}: default_model_filename")
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
