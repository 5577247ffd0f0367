"""Content: what of a package goes into which layer, ordered by how often it changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from gantline.packages import MANIFEST, Package

from . import places
from .entry import Entry, of_bytes, of_file

LARGE = 64 << 20  # bytes: a file of so many has a layer of its own


@dataclass(frozen=True, slots=True)
class Part:
    """One layer to be: `key` determines it, `compress` says whether that is worth its time."""

    title: str
    key: tuple[tuple[str, str], ...]  # path in the image and digest of what is there
    entries: tuple[Entry, ...]
    compress: bool


APART = 16  # files at most that have layers of their own: a model in a hundred pieces would have no room for wheels


def parts(package: Package) -> list[Part]:
    """Weights (each large file by itself, as plain tars: 7 % less is not worth gzip's time), code, and the rest.

    Of more large files than there is room for, the largest.
    """
    digests = {f.path: f.digest for f in package.manifest.files}
    sizes = {f.path: f.size for f in package.manifest.files}
    weights: list[str] = []
    code: list[str] = []
    rest: list[str] = []
    for path in sorted(digests):
        (weights if _is_weight(package, path) else code if _is_code(package, path) else rest).append(path)
    heaviest = sorted(weights, key=lambda path: (-sizes[path], path))
    large = {path for path in heaviest[:APART] if sizes[path] > LARGE}
    found = [_part(package, f"weights {path}", [path], digests, False) for path in weights if path in large]
    if small := [path for path in weights if path not in large]:
        found.append(_part(package, "weights", small, digests, False))
    if code:
        found.append(_part(package, "code", code, digests, True))
    found.append(_last(package, rest, digests))
    return found


def folder(package: Package) -> str:
    """Where the package lies in the image, relative to the root."""
    return f"{places.MODELS}/{package.name}"


def _last(package: Package, paths: list[str], digests: dict[str, str]) -> Part:
    """Manifest, golden samples and the like. The lineage stays outside: who made it does not change what it is."""
    part = _part(package, "package", paths, digests, True)
    manifest = of_bytes(f"{folder(package)}/{MANIFEST}", package.manifest.to_bytes())
    key = (*part.key, (manifest.path, str(package.digest)))
    return Part(part.title, key, (*part.entries, manifest), True)


def _part(package: Package, title: str, paths: list[str], digests: dict[str, str], compress: bool) -> Part:
    at = folder(package)
    entries = tuple(of_file(f"{at}/{path}", package.path / path) for path in paths)
    return Part(title, tuple((f"{at}/{path}", digests[path]) for path in paths), entries, compress)


def _is_weight(package: Package, path: str) -> bool:
    m = package.manifest
    models = m.script.models if m.script else ""
    beside = m.model and PurePosixPath(path).suffix != ".json"
    inside = PurePosixPath(path).parts[:1] == PurePosixPath(m.model).parts[:1] if m.model else False
    return path == m.model or _below(path, models) or bool(beside and inside and "/" in m.model)


def _is_code(package: Package, path: str) -> bool:
    script = package.manifest.script
    return script is not None and _below(path, script.code)


def _below(path: str, folder: str) -> bool:
    return bool(folder) and PurePosixPath(path).is_relative_to(folder)


def unpacked(found: list[Part]) -> Iterator[tuple[str, int]]:
    """Each part's title and the sum of its files in bytes."""
    for part in found:
        yield part.title, sum(e.size for e in part.entries)
