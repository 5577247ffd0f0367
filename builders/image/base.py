"""Base: the image that others are built on: its layers and settings, what files it has, which Python."""

from __future__ import annotations

import gzip
import hashlib
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

from gantline.errors import BadArtefact, UsageError
from gantline.oci.descriptor import LAYER_GZIP, Descriptor
from gantline.oci.platforms import Platform
from gantline.oci.store import Store

from .layer import TITLE

_PYTHON = re.compile(r"(usr/local/bin|usr/bin|opt/[\w.-]+/bin)/python(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Base:
    """`layers` are in the store; `settings` is the config's `config`; `interpreter` the absolute path of its Python."""

    name: str
    platform: Platform
    layers: tuple[Descriptor, ...]
    diff_ids: tuple[str, ...]
    interpreter: str
    python: tuple[int, int]
    settings: Mapping[str, Any] = field(default_factory=dict)
    files: frozenset[str] = frozenset()


def open_base(where: str, platform: Platform, store: Store) -> Base:
    """The base at a path: a root file system as one tar. UsageError, BadArtefact say what is wrong with it."""
    path = Path(where)
    if not path.is_file():
        raise UsageError(f"--base {where}: no such file")
    files, descriptor, diff_id = _keep(path, store)
    interpreter, python = find_python(files, where)
    return Base(path.name, platform, (descriptor,), (diff_id,), interpreter, python, {}, files)


def find_python(files: frozenset[str], where: str) -> tuple[str, tuple[int, int]]:
    """The base's Python: `usr/local` before `usr`, newer before older. BadArtefact where there is none."""
    found = [m for m in map(_PYTHON.fullmatch, files) if m]
    if not found:
        raise BadArtefact(f"base {where}: has no python3.N; choose a base with Python, such as python:3.11-slim")
    best = max(found, key=lambda m: (m[1] == "usr/local/bin", int(m[2]), int(m[3])))
    return "/" + best[0], (int(best[2]), int(best[3]))


def _keep(path: Path, store: Store) -> tuple[frozenset[str], Descriptor, str]:
    try:
        with tarfile.open(path) as tar:
            files = frozenset(m.name.removeprefix("./") for m in tar if not m.isdir())
    except tarfile.TarError as e:
        raise BadArtefact(f"base {path}: not a tar archive of a root file system ({e})") from e
    plain = hashlib.sha256()
    with path.open("rb") as f, store.receive() as out:
        packed: Any = gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=cast(BinaryIO, out), mtime=0)
        with packed:
            while chunk := f.read(1 << 20):
                plain.update(chunk)
                packed.write(chunk)
    descriptor = Descriptor(LAYER_GZIP, out.digest, out.size, annotations={TITLE: f"base {path.name}"})
    return files, descriptor, "sha256:" + plain.hexdigest()
