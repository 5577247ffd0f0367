"""Artifact: a package as an OCI artifact in the CNCF ModelPack media types, and a package directory made of one.

Each file is a blob of its own, under the digest that the package's manifest has for it: what did not change between
two versions is not sent again. https://github.com/modelpack/model-spec
"""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath
from typing import Any

from ..blobs import canonical_json, publish_directory
from ..errors import BadArtefact, VerificationFailed
from ..packages import LINEAGE, MANIFEST, Package
from .descriptor import MANIFEST as OCI_MANIFEST
from .descriptor import Descriptor
from .store import Store

ARTIFACT = "application/vnd.cncf.model.manifest.v1+json"
CONFIG = "application/vnd.cncf.model.config.v1+json"
_WEIGHT = "application/vnd.cncf.model.weight.v1.raw"
_SETTINGS = "application/vnd.cncf.model.weight.config.v1.raw"
_CODE = "application/vnd.cncf.model.code.v1.raw"
_DATA = "application/vnd.cncf.model.dataset.v1.raw"
_DOC = "application/vnd.cncf.model.doc.v1.raw"
PATH = "org.cncf.model.filepath"
PACKAGE = "dev.gantline.package"  # an annotation: the package's digest
_TITLE = "org.opencontainers.image.title"
_LARGEST = 2000  # files: a manifest lists each, and registries take 4 MiB of it


def keep_package(store: Store, package: Package) -> Descriptor:
    """Put a package into a store as an artifact; its manifest. VerificationFailed for files that have changed."""
    files = package.manifest.files
    if len(files) > _LARGEST:
        raise BadArtefact(f"{package.path}: {len(files)} files; an artifact has {_LARGEST} at most")
    package.verify_files()
    layers = [_kept(store, package, f.path, f.digest) for f in files]
    layers.append(_layer(store.add(package.manifest.to_bytes(), _SETTINGS), MANIFEST))
    if (package.path / LINEAGE).is_file():
        layers.append(_layer(store.add_file(package.path / LINEAGE, _DOC), LINEAGE))
    config = store.add(canonical_json(_config(package, layers)), CONFIG)
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": ARTIFACT,
        "config": config.to_json(),
        "layers": [layer.to_json() for layer in layers],
        "annotations": {_TITLE: package.name, PACKAGE: str(package.digest)},
    }
    kept = store.add(canonical_json(manifest), OCI_MANIFEST)
    return Descriptor(kept.media_type, kept.digest, kept.size, artifact_type=ARTIFACT)


def is_package(store: Store, descriptor: Descriptor) -> bool:
    """Whether a manifest in a store is a package's."""
    if descriptor.media_type != OCI_MANIFEST:
        return False
    tree = store.read_json(descriptor)
    return tree.get("artifactType") == ARTIFACT or _config_type(tree) == CONFIG


def write_package(store: Store, descriptor: Descriptor, target: Path, overwrite: bool = False) -> Package:
    """Make a package directory of an artifact, whole or not at all, and check it. BadArtefact, VerificationFailed."""
    where = str(store.path(descriptor.digest))
    tree = store.read_json(descriptor)
    notes = tree.get("annotations") or {}
    found = [Descriptor.from_json(layer, where) for layer in tree.get("layers") or []]
    paths = [_safe(layer, where) for layer in found]
    if MANIFEST not in paths:
        raise BadArtefact(f"{where}: a model artifact without {MANIFEST}: not a Gantline package")
    with publish_directory(target, overwrite) as work:
        for layer, path in zip(found, paths, strict=True):
            at = work / path
            at.parent.mkdir(parents=True, exist_ok=True)
            if at.exists():
                raise BadArtefact(f"{where}: two files of one path, {path!r}")
            shutil.copyfile(store.path(layer.digest), at)
            at.chmod(0o644)
        try:
            package = Package.open(work)
            package.verify_files()
        except (BadArtefact, VerificationFailed):
            for layer in found:
                store.check(layer.digest)  # blobs that the disk has damaged, rather than an artifact made wrong
            raise
        said = notes.get(PACKAGE, package.digest)
        if said != package.digest:
            raise VerificationFailed(f"{where}: package digest {package.digest}, and its annotation says {said}")
    return Package.open(target)


def _kept(store: Store, package: Package, path: str, digest: str) -> Descriptor:
    at = package.path / path
    kind = _kind(package, path)
    described = Descriptor(kind, digest, at.stat().st_size)
    if store.holds(described):
        return _layer(described, path)
    kept = store.add_file(at, kind)
    if kept.digest != digest:
        raise VerificationFailed(f"{at}: changed while it was read: digest {kept.digest}, the manifest says {digest}")
    return _layer(kept, path)


def _layer(kept: Descriptor, path: str) -> Descriptor:
    return Descriptor(kept.media_type, kept.digest, kept.size, annotations={PATH: path, _TITLE: path})


def _kind(package: Package, path: str) -> str:
    manifest = package.manifest
    script = manifest.script
    if path == manifest.model or (script and script.models and PurePosixPath(path).is_relative_to(script.models)):
        return _WEIGHT
    if script and script.code and PurePosixPath(path).is_relative_to(script.code):
        return _CODE
    if path in {p for g in manifest.golden for p in (g.request, g.reply)}:
        return _DATA
    return _SETTINGS


def _config(package: Package, layers: list[Descriptor]) -> dict[str, Any]:
    """What ModelPack's config has a word for. No times: when it was packed does not change what it is."""
    manifest = package.manifest
    source = manifest.source
    config: dict[str, Any] = {"format": {"onnx": "onnx", "torch": "pt2", "script": "python"}.get(manifest.engine, "")}
    if source and source.type:
        config["architecture"] = source.type
    return {
        "descriptor": {"name": package.name, **({"family": source.framework} if source else {})},
        "modelfs": {"type": "layers", "diffIds": [layer.digest for layer in layers]},
        "config": {key: value for key, value in config.items() if value},
    }


def _config_type(tree: dict[str, Any]) -> str:
    config = tree.get("config")
    return str(config.get("mediaType")) if isinstance(config, dict) else ""


def _safe(layer: Descriptor, where: str) -> str:
    """The path that a layer's file has in the package, which it may not leave."""
    path = layer.annotations.get(PATH) or layer.annotations.get(_TITLE) or ""
    pure = PurePosixPath(path)
    if not pure.parts or pure.is_absolute() or ".." in pure.parts or "\\" in path or "\0" in path or str(pure) != path:
        raise BadArtefact(f"{where}: path {path!r:.100} of a file leaves the package, or is none")
    if not layer.media_type.endswith(".raw"):
        raise BadArtefact(f"{where}: {path!r:.100} is {layer.media_type!r:.80}; packages are made of raw files")
    return path
