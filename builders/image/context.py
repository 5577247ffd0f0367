"""Context: an image as a Dockerfile and the tars of its layers, for engines that build and do not load.

Equal to what `-o` writes in all that runs: files with owners, modes and times, settings, order of layers. The same
image gives the same bytes, so a context can be kept under version control.
"""

from __future__ import annotations

import re
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from gantline.blobs import canonical_json, publish_directory
from gantline.errors import Unsupported, UsageError
from gantline.oci.descriptor import Descriptor
from gantline.oci.store import Store

from .base import Base
from .build import Built
from .dockerfile import dockerfile
from .layer import TITLE
from .packed import packing, plain

_LAYERS = "layers"
_LISTED = f"{_LAYERS}/layers.json"  # marks the directory as one of ours
_OTHERS = ("Dockerfile", ".dockerignore", ".gitattributes")
_IGNORED = "*\n!layers/\n"
_ATTRIBUTES = "* -text\nlayers/*.tar filter=lfs diff=lfs merge=lfs\nlayers/*.tar.gz filter=lfs diff=lfs merge=lfs\n"
_LONGEST = 60  # characters of a file's name
_WHITEOUT = ".wh."


def write_context(store: Store, built: Built, name: str, target: Path, overwrite: bool = False) -> int:
    """Write the directory; the sum of its layers in bytes. UsageError for one that holds what is not a context's.

    Unsupported for an archive's base whose layers remove files, which no ADD does.
    """
    if overwrite and target.is_dir() and not target.is_symlink():
        _check_ours(target)
    layers = list(_layers(built))
    if not built.base.pulled:
        _check_nothing_removed(store, built.base)
    text = dockerfile(name, built.image, built.base, [(f"{_LAYERS}/{file}", title) for file, title, _ in layers])
    with publish_directory(target, overwrite, _LISTED) as work:
        (work / _LAYERS).mkdir()
        for file, _, descriptor in layers:
            _copy(store, descriptor, work / _LAYERS / file)
        listed = [{"file": file, "title": title, "digest": one.digest} for file, title, one in layers]
        (work / _LISTED).write_bytes(canonical_json({"image": built.image.id, "layers": listed}) + b"\n")
        for at, data in zip(_OTHERS, (text, _IGNORED, _ATTRIBUTES), strict=True):
            (work / at).write_bytes(data.encode())
        return sum((work / _LAYERS / file).stat().st_size for file, _, _ in layers)


def _check_ours(target: Path) -> None:
    """Replacing a directory takes all that is in it."""
    own = {*_OTHERS, _LAYERS}
    if others := sorted(path.name for path in target.iterdir() if path.name not in own):
        raise UsageError(f"{target} holds {others[0]!r:.80}, too, which is no part of a context: move it elsewhere")


def _layers(built: Built) -> Iterator[tuple[str, str, Descriptor]]:
    """Each one's name in the context, its title and its descriptor, from the lowest; a registry's base is not in it."""
    found = [] if built.base.pulled else [(d.annotations.get(TITLE, "base"), d) for d in built.base.layers]
    found += [(made.layer.title, made.layer.descriptor) for made in built.layers]
    taken: set[str] = set()
    for title, descriptor in found:
        stem = name = _stem(title)
        number = 1
        while name in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name)
        yield f"{name}.tar{'.gz' if 'gzip' in descriptor.media_type else ''}", title, descriptor


def _stem(title: str) -> str:
    """A name by what a layer is: the same from build to build, so that version control sees what changed."""
    what = title.partition(" ")[0] if title.startswith(("wheels ", "debs ", "gantline ")) else title
    what = re.sub(r"(\.tar)?(\.(gz|xz|zst)|\.tgz)?$", "", what)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", what)[:_LONGEST].strip("-.") or "layer"


def _copy(store: Store, descriptor: Descriptor, target: Path) -> None:
    """As it is; plain where it is compressed by what not every engine unpacks."""
    with store.path(descriptor.digest).open("rb") as f:
        head = f.read(6)
        f.seek(0)
        if packing(head) in ("", "gzip"):
            shutil.copyfile(f.name, target)
            return
        with plain(f, f"layer {descriptor.digest}") as stream, target.open("wb") as out:
            shutil.copyfileobj(stream, out, 1 << 20)


def _check_nothing_removed(store: Store, base: Base) -> None:
    for layer in base.layers if base.digest else ():  # without one it is a tar of files
        with ExitStack() as stack:
            f = stack.enter_context(store.path(layer.digest).open("rb"))
            stream = stack.enter_context(plain(f, f"layer {layer.digest}"))
            tar = stack.enter_context(tarfile.open(fileobj=stream, mode="r|"))
            for member in tar:
                tar.members.clear()  # type: ignore[attr-defined]  # tarfile keeps all that it has read
                if member.name.rpartition("/")[2].startswith(_WHITEOUT):
                    raise Unsupported(
                        f"base {base.name}: a layer of it removes {member.name!r:.200}, which no Dockerfile's ADD can; "
                        "name the base in a registry, or make a tar of its files: `docker export`"
                    )
