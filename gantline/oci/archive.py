"""Archive: images of a store as one tar that is an OCI layout and a docker-archive at once, or as a layout directory.

Any `docker load` reads manifest.json, which knows one platform; containerd, podman and new Docker read index.json.
"""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from ..blobs import canonical_json, publish_directory, publish_file
from .descriptor import INDEX, REF_NAME, Descriptor
from .graph import Graph
from .image import Image, manifests
from .reference import whole
from .referrers import gather
from .store import LAYOUT, Store

# with its host: containerd keeps what it reads, and Kubernetes asks it for docker.io/library/iris:1 when told iris:1
CONTAINERD_NAME = "io.containerd.image.name"
_PIECE = 1 << 20


def write_archive(store: Store, descriptor: Descriptor, name: str, target: Path, overwrite: bool = False) -> int:
    """Write one tar, with what is said about the image; its size in bytes. The same gives the same bytes."""
    with publish_file(target, overwrite) as work:
        with tarfile.open(work, "w", format=tarfile.PAX_FORMAT) as tar:
            fill(tar, store, descriptor, name, with_referrers=True)
        return work.stat().st_size


def fill(tar: tarfile.TarFile, store: Store, descriptor: Descriptor, name: str, with_referrers: bool = False) -> None:
    """Put all that an archive has into a tar, which may be a stream. Engines get no signatures: they keep none."""
    graph, about = gather(store, descriptor) if with_referrers else (Graph.of(store, descriptor), {})
    images = [Image.open(store, d) for d in manifests(store, descriptor)]
    for folder in ("blobs/", "blobs/sha256/"):
        info = tarfile.TarInfo(folder)
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(info)
    for digest in sorted({*graph.manifests, *graph.blobs}):
        path = store.path(digest)
        with store.reading(digest) as f:
            tar.addfile(_info(_at(digest), path.stat().st_size), cast(BinaryIO, f))
    for at, data in _documents(descriptor, name, images, about):
        tar.addfile(_info(at, len(data)), io.BytesIO(data))


def write_layout(store: Store, descriptor: Descriptor, name: str, target: Path, overwrite: bool = False) -> int:
    """Write an OCI image layout, with what is said about the image; the sum of its blobs in bytes."""
    graph, about = gather(store, descriptor)
    images = [Image.open(store, d) for d in manifests(store, descriptor)]
    with publish_directory(target, overwrite, LAYOUT) as work:
        (work / "blobs" / "sha256").mkdir(parents=True)
        total = 0
        for digest in {*graph.manifests, *graph.blobs}:
            with store.reading(digest) as f, (work / _at(digest)).open("wb") as out:
                shutil.copyfileobj(f, out, _PIECE)
            total += store.path(digest).stat().st_size
        for at, data in _documents(descriptor, name, images, about):
            if at != "manifest.json":
                (work / at).write_bytes(data)
        return total


def _documents(
    descriptor: Descriptor, name: str, images: list[Image], about: Mapping[str, list[Descriptor]]
) -> Iterator[tuple[str, bytes]]:
    """index.json lists what is about the image without a name, each by its own digest, as other tools write it."""
    names = {REF_NAME: name, CONTAINERD_NAME: whole(name)}
    named = {**descriptor.to_json(), "annotations": {**descriptor.annotations, **names}}
    others = [one.to_json() for digest in sorted(about) for one in about[digest]]
    index: dict[str, Any] = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [named, *others]}
    yield "index.json", canonical_json(index)
    yield LAYOUT, canonical_json({"imageLayoutVersion": "1.0.0"})
    first = images[0]
    docker = {
        "Config": _at(first.id),
        "RepoTags": [name] if name else [],
        "Layers": [_at(layer.digest) for layer in first.layers],
    }
    yield "manifest.json", canonical_json([docker])


def _at(digest: str) -> str:
    return "blobs/sha256/" + digest.removeprefix("sha256:")


def _info(path: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.size, info.mode = size, 0o644
    return info
