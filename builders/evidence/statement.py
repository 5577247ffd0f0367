"""Statement: how an image or a package came to be, as in-toto and SLSA have it: its subject, and what it was made of.

https://in-toto.io/Statement/v1, https://slsa.dev/spec/v1.0/provenance. No times: the same image has the same statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gantline
from gantline.oci.descriptor import INDEXES, Descriptor
from gantline.oci.image import Image, manifests
from gantline.oci.store import Store

from .record import BASE_DIGEST, Record

IN_TOTO = "application/vnd.in-toto+json"
TYPE = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
_KINDS = "urn:gantline:provenance"  # names, not addresses


def of_image(store: Store, image: Image, ref: str) -> dict[str, Any]:
    """An image's. BadArtefact for one that Gantline did not build: of that nobody here knows how it came to be."""
    record = Record.of(store, image, ref)
    manifest = record.manifest
    asked = {
        "package": {"name": manifest.name, "digest": manifest.digest},
        "base": record.base,
        "platform": str(image.platform),
        "created": image.config.get("created"),
    }
    layers = [_material(f"base layer {n + 1}", d) for n, d in enumerate(image.diff_ids[: record.below])]
    base = [_material(record.base, d)] if (d := image.labels.get(BASE_DIGEST)) else []
    wheels = [_material(p.file, p.digest, p.url) for p in record.lock.packages]
    debs = [_material(f"{d.name} {d.version}", d.digest, d.url) for d in record.lock.debs or ()]
    made_of = [_material(manifest.name, manifest.digest), *base, *layers, *wheels, *debs]
    return _statement(image.descriptor.digest, manifest.name, "image", asked, made_of, record.runtime)


def of_index(store: Store, descriptor: Descriptor, name: str) -> dict[str, Any]:
    """That of an index of several images: it is made of those."""
    found = list(manifests(store, descriptor))
    asked = {"platforms": [str(one.platform) for one in found]}
    made_of = [_material(str(one.platform), one.digest) for one in found]
    return _statement(descriptor.digest, name, "index", asked, made_of, gantline.__version__)


def of_package(store: Store, descriptor: Descriptor) -> dict[str, Any]:
    """That of a package in a store: of which files."""
    from gantline.oci.artifact import PACKAGE, PATH

    tree = store.read_json(descriptor)
    notes = tree.get("annotations") or {}
    layers = [Descriptor.from_json(layer, descriptor.digest) for layer in tree.get("layers") or []]
    made_of = [_material(layer.annotations.get(PATH, ""), layer.digest) for layer in layers]
    name = str(notes.get("org.opencontainers.image.title", ""))
    asked = {"package": {"name": name, "digest": notes.get(PACKAGE, "")}}
    return _statement(descriptor.digest, name, "package", asked, made_of, gantline.__version__)


def is_index(descriptor: Descriptor) -> bool:
    """Whether there are several images behind it."""
    return descriptor.media_type in INDEXES


def _material(name: str, digest: str, url: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {"name": name, "digest": {"sha256": digest.removeprefix("sha256:")}}
    return {"uri": url, **out} if url else out


def _statement(
    digest: str, name: str, kind: str, asked: dict[str, Any], made_of: Sequence[dict[str, Any]], version: str
) -> dict[str, Any]:
    return {
        "_type": TYPE,
        "subject": [{"name": name, "digest": {"sha256": digest.removeprefix("sha256:")}}],
        "predicateType": PROVENANCE,
        "predicate": {
            "buildDefinition": {
                "buildType": f"{_KINDS}:{kind}:v1",
                "externalParameters": asked,
                "internalParameters": {},
                "resolvedDependencies": list(made_of),
            },
            "runDetails": {"builder": {"id": f"{_KINDS}:gantline", "version": {"gantline": version}}, "metadata": {}},
        },
    }
