"""Context: an image as a Dockerfile and the tars of its layers, for engines that build and do not load.

Equal to what `-o` writes in all that runs: files with owners, modes and times, settings, order of layers. The same
image gives the same bytes, so a context can be kept under version control.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gantline.blobs import canonical_json, publish_directory
from gantline.errors import UsageError
from gantline.oci.descriptor import Descriptor
from gantline.oci.store import Store

from .build import Built
from .dockerfile import dockerfile
from .layer import TITLE
from .merged import removes, write_merged
from .packed import packing, plain

_LAYERS = "layers"
_LISTED = f"{_LAYERS}/layers.json"  # marks the directory as one of ours
_OTHERS = ("Dockerfile", ".dockerignore", ".gitattributes")
_IGNORED = "*\n!layers/\n"
_ATTRIBUTES = "* -text\nlayers/*.tar filter=lfs diff=lfs merge=lfs\nlayers/*.tar.gz filter=lfs diff=lfs merge=lfs\n"
_LONGEST = 60  # characters of a file's name


@dataclass(frozen=True, slots=True)
class _File:
    """A tar of the context, and the layers that it is made of: one, or a base's that cannot be added one by one."""

    file: str
    title: str
    of: tuple[Descriptor, ...]


def write_context(store: Store, built: Built, name: str, target: Path, overwrite: bool = False) -> int:
    """Write the directory; the sum of its layers in bytes. UsageError for one that holds what is not a context's."""
    if overwrite:
        check_replaced(target)
    layers = list(_layers(store, built))
    text = dockerfile(name, built.image, built.base, [(f"{_LAYERS}/{one.file}", one.title) for one in layers])
    with publish_directory(target, overwrite, _LISTED) as work:
        (work / _LAYERS).mkdir()
        for one in layers:
            _write(store, one.of, work / _LAYERS / one.file)
        listed = [{"file": one.file, "title": one.title, "digests": [d.digest for d in one.of]} for one in layers]
        (work / _LISTED).write_bytes(canonical_json({"image": built.image.id, "layers": listed}) + b"\n")
        for at, data in zip(_OTHERS, (text, _IGNORED, _ATTRIBUTES), strict=True):
            (work / at).write_bytes(data.encode())
        return sum((work / _LAYERS / one.file).stat().st_size for one in layers)


def check_replaced(target: Path) -> None:
    """UsageError for a directory that holds what is no context's: to replace it would take all that is in it."""
    if not target.is_dir() or target.is_symlink():
        return
    own = {*_OTHERS, _LAYERS}
    others = [path for path in target.iterdir() if path.name not in own]
    if (target / _LISTED).is_file():
        made = {Path(_LISTED).name, *_files(target / _LISTED)}
        others += [path for path in (target / _LAYERS).iterdir() if path.name not in made]
    if others:
        name = min(path.relative_to(target).as_posix() for path in others)
        raise UsageError(f"{target} holds {name!r:.80}, too, which is no part of a context: move it elsewhere")


def _files(listed: Path) -> list[str]:
    """The layers of a context that was written before; none of a list that cannot be read."""
    try:
        return [str(one["file"]) for one in json.loads(listed.read_bytes())["layers"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _layers(store: Store, built: Built) -> Iterator[_File]:
    """From the lowest; a registry's base is not in it."""
    base = built.base
    below: list[tuple[str, tuple[Descriptor, ...]]]
    below = [(d.annotations.get(TITLE, f"base {base.name}"), (d,)) for d in base.layers]
    if base.pulled:
        below = []
    elif base.digest and removes(store, base.layers):  # without a digest it is a tar of files
        below = [(f"base {base.name} (its {len(base.layers)} layers as one: some remove files)", base.layers)]
    taken: set[str] = set()
    for title, of in [*below, *((made.layer.title, (made.layer.descriptor,)) for made in built.layers)]:
        stem = name = _stem(title.partition(" (")[0])
        number = 1
        while name in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name)
        packed = len(of) > 1 or "gzip" in of[0].media_type
        yield _File(f"{name}.tar{'.gz' if packed else ''}", title, of)


def _stem(title: str) -> str:
    """A name by what a layer is: the same from build to build, so that version control sees what changed."""
    what = title.partition(" ")[0] if title.startswith(("wheels ", "debs ", "gantline ")) else title
    what = re.sub(r"(\.tar)?(\.(gz|xz|zst)|\.tgz)?$", "", what)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", what)[:_LONGEST].strip("-.") or "layer"


def _write(store: Store, of: Sequence[Descriptor], target: Path) -> None:
    """As it is; plain where it is compressed by what not every engine unpacks; several as one."""
    for one in of:
        store.check(one.digest)
    if len(of) > 1:
        write_merged(store, of, target)
        return
    (descriptor,) = of
    with store.path(descriptor.digest).open("rb") as f:
        head = f.read(6)
        f.seek(0)
        if packing(head) in ("", "gzip"):
            shutil.copyfile(f.name, target)
            return
        with plain(f, f"layer {descriptor.digest}") as stream, target.open("wb") as out:
            shutil.copyfileobj(stream, out, 1 << 20)
