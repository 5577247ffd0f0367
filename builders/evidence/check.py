"""Check: whether every blob of an image is what its digest says, and every layer unpacks to what the config says."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from gantline.blobs import sha256_file
from gantline.errors import NotFound, VerificationFailed
from gantline.oci.artifact import is_package
from gantline.oci.descriptor import INDEXES, Descriptor
from gantline.oci.graph import Graph, is_kept
from gantline.oci.image import Image, manifests
from gantline.oci.store import Store, damaged

from ..image.packed import plain

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Checked:
    """How much was hashed."""

    manifests: int
    blobs: int
    size: int


def check(store: Store, descriptor: Descriptor, ref: str) -> Checked:
    """Hash all that is below a manifest or an index. VerificationFailed, NotFound name the blob."""
    graph = Graph.of(store, descriptor)  # manifests and indexes are hashed as they are read
    for blob in graph.blobs.values():
        path = store.path(blob.digest)
        found = sha256_file(path)
        if found != blob.digest:
            why = damaged(path).message.partition(": ")[2]
            raise VerificationFailed(f"{ref}: {path}: its digest is {found}, and it should be {blob.digest}: {why}")
        if path.stat().st_size != blob.size:
            raise VerificationFailed(f"{ref}: {path}: {path.stat().st_size} bytes, and it should have {blob.size}")
    if not is_package(store, descriptor):
        for image in _images(store, descriptor):
            _check_layers(store, image, ref)
    return Checked(len(graph.manifests), len(graph.blobs), sum(blob.size for blob in graph.blobs.values()))


def _images(store: Store, descriptor: Descriptor) -> Iterator[Image]:
    for one in manifests(store, descriptor) if descriptor.media_type in INDEXES else [descriptor]:
        yield Image.open(store, one)


def _check_layers(store: Store, image: Image, ref: str) -> None:
    for layer, diff_id in zip(image.layers, image.diff_ids, strict=True):
        if not is_kept(layer):
            continue
        if not store.has(layer.digest):
            raise NotFound(f"{ref}: {store.root} has no layer {layer.digest}")
        if layer.digest == diff_id:
            continue
        digest = hashlib.sha256()
        with store.path(layer.digest).open("rb") as f, plain(f, f"layer {layer.digest}") as stream:
            while piece := stream.read(_PIECE):
                digest.update(piece)
        if "sha256:" + digest.hexdigest() != diff_id:
            raise VerificationFailed(
                f"{ref}: layer {layer.digest} unpacks to sha256:{digest.hexdigest()}, and its config says {diff_id}"
            )
