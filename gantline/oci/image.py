"""Image: a manifest, its config and its layers, read from a store; and an index of one per platform."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..blobs import canonical_json
from ..errors import BadArtefact, NotFound
from .descriptor import CONFIG, DOCKER_CONFIG, INDEX, INDEXES, MANIFEST, MANIFESTS, Descriptor
from .graph import DEEPEST
from .platforms import Platform
from .store import Store

MODEL_LABEL = "dev.gantline.package.name"  # labels of an image that `gantline build` made: of the package in it
PACKAGE_LABEL = "dev.gantline.package.digest"


@dataclass(frozen=True, slots=True)
class Image:
    """One platform's image. `descriptor` is its manifest's; `layers` go from the base up."""

    descriptor: Descriptor
    config_descriptor: Descriptor
    layers: tuple[Descriptor, ...]
    config: dict[str, Any]
    annotations: dict[str, str]

    @property
    def id(self) -> str:
        """The image ID: the digest of its config, which does not depend on how layers are compressed."""
        return self.config_descriptor.digest

    @property
    def platform(self) -> Platform:
        return Platform.from_json(self.config, f"config {self.id}")

    @property
    def diff_ids(self) -> tuple[str, ...]:
        """The digests of the layers' plain tars, from the base up."""
        return tuple(self.config["rootfs"]["diff_ids"])

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.settings.get("Labels") or {})

    @property
    def model(self) -> str:
        """The name of the package in it; empty for an image that is not of ours."""
        return str(self.labels.get(MODEL_LABEL, ""))

    @property
    def package(self) -> str:
        """The digest of the package in it; empty for an image that is not of ours."""
        return str(self.labels.get(PACKAGE_LABEL, ""))

    @property
    def settings(self) -> dict[str, Any]:
        """What a container of it starts with: Env, Entrypoint, User and so on."""
        return dict(self.config.get("config") or {})

    @classmethod
    def open(cls, store: Store, descriptor: Descriptor) -> Image:
        """Read manifest and config. BadArtefact for anything but an image's manifest."""
        where = str(store.path(descriptor.digest))
        manifest = store.read_json(descriptor)
        media_type = str(manifest.get("mediaType") or descriptor.media_type)
        if media_type not in MANIFESTS:
            raise BadArtefact(f"{where}: {media_type} is not an image's manifest")
        config_descriptor = Descriptor.from_json(manifest.get("config"), where)
        layers = manifest.get("layers")
        if not isinstance(layers, list):
            raise BadArtefact(f"{where}: an image's manifest lists layers")
        if config_descriptor.media_type not in (CONFIG, DOCKER_CONFIG):
            kind = str(manifest.get("artifactType") or config_descriptor.media_type)
            raise BadArtefact(f"{where}: an artifact of type {kind!r:.100}, and no image")
        config = store.read_json(config_descriptor)
        rootfs = config.get("rootfs")
        diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
        if not isinstance(diff_ids, list) or len(diff_ids) != len(layers):
            raise BadArtefact(f"{where}: {len(layers)} layers, and its config does not list as many diff_ids")
        _check(config, f"config {config_descriptor.digest}")
        described = tuple(Descriptor.from_json(layer, where) for layer in layers)
        return cls(descriptor, config_descriptor, described, config, dict(manifest.get("annotations") or {}))


def _check(config: dict[str, Any], where: str) -> None:
    """BadArtefact for a config whose parts are not what everybody takes them for."""
    settings = config.get("config") or {}
    told = settings if isinstance(settings, dict) else {}
    lists = {"rootfs.diff_ids": config["rootfs"]["diff_ids"], "config.Env": told.get("Env") or []}
    labels, history = told.get("Labels") or {}, config.get("history") or []
    sound = {
        "config": isinstance(settings, dict),
        **{name: isinstance(one, list) and all(isinstance(x, str) for x in one) for name, one in lists.items()},
        "config.Labels": isinstance(labels, dict) and all(isinstance(x, str) for x in labels.values()),
        "history": isinstance(history, list) and all(isinstance(x, dict) for x in history),
    }
    if wrong := [name for name, well in sound.items() if not well]:
        raise BadArtefact(f"{where}: its {wrong[0]} is not what an image's is")


def write_manifest(
    store: Store, config: dict[str, Any], layers: tuple[Descriptor, ...], annotations: dict[str, str]
) -> Image:
    """Keep a config and a manifest for layers that the store has; the image of them."""
    described = store.add(canonical_json(config), CONFIG)
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": described.to_json(),
        "layers": [layer.to_json() for layer in layers],
    }
    if annotations:
        manifest["annotations"] = annotations
    kept = store.add(canonical_json(manifest), MANIFEST)
    platform = Platform.from_json(config, "config")
    return Image.open(store, Descriptor(kept.media_type, kept.digest, kept.size, platform))


def write_index(store: Store, images: tuple[Image, ...], annotations: dict[str, str]) -> Descriptor:
    """Keep an index of images of several platforms."""
    tree: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [image.descriptor.to_json() for image in images],
    }
    if annotations:
        tree["annotations"] = annotations
    return store.add(canonical_json(tree), INDEX)


def manifests(store: Store, descriptor: Descriptor) -> Iterator[Descriptor]:
    """The manifests of images behind a descriptor: itself, or those that an index lists (attestations left out)."""
    if descriptor.media_type not in INDEXES:
        yield descriptor
        return
    yield from images_in(store.read_json(descriptor), str(store.path(descriptor.digest)), store.read_json)


def images_in(
    index: dict[str, Any], where: str, read: Callable[[Descriptor], dict[str, Any]], depth: int = 1
) -> Iterator[Descriptor]:
    """The manifests of images that an index lists, or one that it lists (`read` gets it); attestations are left out.

    BadArtefact (naming `where`).
    """
    listed = index.get("manifests")
    if not isinstance(listed, list):
        raise BadArtefact(f"{where}: an index lists manifests")
    if depth > DEEPEST:
        raise BadArtefact(f"{where}: indexes in indexes, {depth} deep")
    for tree in listed:
        found = Descriptor.from_json(tree, where)
        if found.platform is not None and found.platform.os == "unknown":
            continue
        if found.media_type in MANIFESTS:
            yield found
        elif found.media_type in INDEXES:
            yield from images_in(read(found), where, read, depth + 1)


def choose(store: Store, descriptor: Descriptor, platform: Platform, name: str) -> Descriptor:
    """The manifest for a platform; NotFound says which there are."""
    found = list(manifests(store, descriptor))
    return found[0] if descriptor.media_type not in INDEXES else serving(found, platform, name)


def serving(found: list[Descriptor], platform: Platform, name: str) -> Descriptor:
    """The one of an index's manifests that is for a platform; NotFound says which there are."""
    for one in found:
        if one.platform is None or one.platform.serves(platform):
            return one
    there = ", ".join(str(d.platform) for d in found) or "none"
    raise NotFound(f"{name}: has no image for {platform}; there is {there}")
