"""Signature: a signed statement about an image or a package, kept beside it in the store as a referrer, and checked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gantline.blobs import canonical_json
from gantline.errors import BadArtefact, NotFound, VerificationFailed
from gantline.oci.artifact import is_package
from gantline.oci.descriptor import EMPTY, MANIFEST, Descriptor
from gantline.oci.image import Image, manifests
from gantline.oci.referrers import attach, referrers
from gantline.oci.store import Store

from .envelope import ENVELOPE, key_id, seal, unseal
from .statement import IN_TOTO, PROVENANCE, TYPE, is_index, of_image, of_index, of_package

_PREDICATE = "in-toto.io/predicate-type"  # annotations, as other tools write them
_SIGNER = "dev.gantline.signature.key"
_MOST = 100  # statements about one digest that are looked at


@dataclass(frozen=True, slots=True)
class Signed:
    """`subject` is what was signed, `referrer` the manifest that holds the signature, `key` the digest of the key."""

    subject: str
    referrer: str
    key: str


def sign(store: Store, descriptor: Descriptor, key: Ed25519PrivateKey, ref: str) -> list[Signed]:
    """Sign an image or a package; of an index, each image as well, since each is pulled by itself."""
    return [_kept(store, subject, tree, key) for subject, tree in _statements(store, descriptor, ref)]


def _statements(store: Store, descriptor: Descriptor, ref: str) -> Iterator[tuple[Descriptor, dict[str, Any]]]:
    if is_package(store, descriptor):
        yield descriptor, of_package(store, descriptor)
        return
    for one in list(manifests(store, descriptor)):
        yield one, of_image(store, Image.open(store, one), ref)
    if is_index(descriptor):
        yield descriptor, of_index(store, descriptor, ref)


def _kept(store: Store, subject: Descriptor, tree: dict[str, Any], key: Ed25519PrivateKey) -> Signed:
    layer = store.add(canonical_json(seal(canonical_json(tree), IN_TOTO, key)), ENVELOPE)
    name = key_id(key.public_key())
    notes = {_PREDICATE: PROVENANCE, _SIGNER: name}
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": IN_TOTO,
        "config": store.add(b"{}", EMPTY).to_json(),
        "layers": [layer.to_json()],
        "subject": Descriptor(subject.media_type, subject.digest, subject.size).to_json(),
        "annotations": notes,
    }
    kept = store.add(canonical_json(manifest), MANIFEST)
    referrer = Descriptor(MANIFEST, kept.digest, kept.size, artifact_type=IN_TOTO, annotations=notes)
    attach(store, subject.digest, referrer)
    return Signed(subject.digest, kept.digest, name)


def verify(store: Store, digest: str, key: Ed25519PublicKey, ref: str) -> dict[str, Any]:
    """The statement about a digest that this key has signed. VerificationFailed: none, another's, or a wrong one."""
    problems: list[str] = []
    for referrer in referrers(store, digest)[:_MOST]:
        where = f"signature {referrer.digest[:19]}"
        for described in _envelopes(store, referrer, problems):
            try:
                envelope = store.read_json(described)
                return _statement(unseal(envelope, IN_TOTO, key, where), digest, where)
            except (BadArtefact, NotFound, VerificationFailed) as e:  # of several one may be good
                problems.append(e.message)
    if not problems:
        raise VerificationFailed(f"{ref}: not signed: nothing in {store.root} is a signature of {digest}")
    raise VerificationFailed(f"{ref}: {'; '.join(dict.fromkeys(problems[-4:]))}")


def _envelopes(store: Store, referrer: Descriptor, problems: list[str]) -> list[Descriptor]:
    """Those of a referrer; it may be something else. One that cannot be read is a problem, and not the end."""
    try:
        layers = store.read_json(referrer).get("layers") or []
        found = [Descriptor.from_json(layer, referrer.digest) for layer in layers] if isinstance(layers, list) else []
    except (BadArtefact, NotFound, VerificationFailed) as e:
        problems.append(e.message)
        return []
    return [one for one in found if one.media_type == ENVELOPE]


def _statement(payload: bytes, digest: str, where: str) -> dict[str, Any]:
    """What was signed, if it is about this digest: a signature of another image holds, and says nothing of this one."""
    try:
        tree = json.loads(payload)
        subjects = {"sha256:" + str(one["digest"]["sha256"]) for one in tree["subject"]}
        known = tree["_type"] == TYPE
        provenance = tree["predicateType"] == PROVENANCE and isinstance(tree["predicate"]["buildDefinition"], dict)
    except (ValueError, KeyError, TypeError, RecursionError) as e:
        raise VerificationFailed(f"{where}: not an in-toto statement ({type(e).__name__})") from e
    if not known or digest not in subjects:
        raise VerificationFailed(f"{where}: is about {', '.join(sorted(subjects))[:80]}, not about {digest}")
    if not provenance:
        raise VerificationFailed(f"{where}: says {tree['predicateType']!r:.100}, and not where {digest} comes from")
    return dict(tree)
