"""Descriptor: what one blob is, by media type, digest and size, as the OCI image specification has it (v1.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import BadArtefact
from .platforms import Platform

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = LAYER + "+gzip"
LAYER_ZSTD = LAYER + "+zstd"
# what Docker called them before there was a specification; registries still serve them
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = DOCKER_LAYER + ".gzip"

DOCKER_LAYER_ZSTD = DOCKER_LAYER + ".zstd"

LAYERS = (LAYER, LAYER_GZIP, LAYER_ZSTD, DOCKER_LAYER, DOCKER_LAYER_GZIP, DOCKER_LAYER_ZSTD)
INDEXES = (INDEX, DOCKER_INDEX)
MANIFESTS = (MANIFEST, DOCKER_MANIFEST)
REF_NAME = "org.opencontainers.image.ref.name"  # an annotation in index.json: the name under which a descriptor is kept

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LARGEST = 1 << 50


def check_digest(digest: object, where: str) -> str:
    """The digest, or BadArtefact (naming `where`): `sha256:` and 64 hexadecimal digits, the one algorithm used here."""
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise BadArtefact(f"{where}: digest {digest!r:.80} is not sha256:<64 hexadecimal digits>")
    return digest


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What points at a blob. `size` in bytes; `platform` only where a manifest is one of several for one image."""

    media_type: str
    digest: str
    size: int
    platform: Platform | None = None
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As it stands in a manifest; what is empty is left out."""
        out: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.platform is not None:
            out["platform"] = self.platform.to_json()
        if self.artifact_type:
            out["artifactType"] = self.artifact_type
        if self.annotations:
            out["annotations"] = dict(self.annotations)
        return out

    @classmethod
    def from_json(cls, tree: Any, where: str) -> Descriptor:
        """BadArtefact (naming `where`) for anything else."""
        if not isinstance(tree, dict) or not isinstance(tree.get("mediaType"), str):
            raise BadArtefact(f"{where}: not a descriptor with a mediaType")
        size = tree.get("size")
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _LARGEST:
            raise BadArtefact(f"{where}: size {size!r:.40} is not a number of bytes")
        notes = tree.get("annotations") or {}
        if not isinstance(notes, dict) or not all(isinstance(v, str) for v in notes.values()):
            raise BadArtefact(f"{where}: annotations are not text by name")
        platform = tree.get("platform")
        return cls(
            tree["mediaType"],
            check_digest(tree.get("digest"), where),
            size,
            Platform.from_json(platform, where) if platform is not None else None,
            str(tree.get("artifactType") or ""),
            notes,
        )
