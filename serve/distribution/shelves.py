"""Shelves: repositories and what they hold, as names in the store: `iris:1` by tag, `iris@sha256:...` by digest.

So what is pushed is what `gantline push` and `build` on this machine know by the same name, and the garbage collector
keeps it. Referrers are kept as the specification says for registries of old: in an index under the tag `sha256-<hex>`.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from gantline.blobs import canonical_json
from gantline.errors import BadArtefact, GantlineError
from gantline.oci.descriptor import INDEX, INDEXES, MANIFESTS, Descriptor, check_digest
from gantline.oci.store import Store, json_object

from .refusal import Refusal

REPOSITORY = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
LONGEST = 4 << 20  # bytes of a manifest, as the specification suggests


class Shelves:
    """The repositories of one store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def repositories(self) -> list[str]:
        """All of them, sorted; the store may have other names, such as what was pulled from elsewhere."""
        found = {_split(name)[0] for name in self.store.names()}
        return sorted(name for name in found if re.fullmatch(REPOSITORY, name))

    def tags(self, repository: str) -> list[str]:
        """A repository's tags, sorted. Refusal where there is no such repository."""
        mine = [_split(name) for name in self.store.names()]
        if not any(owner == repository for owner, _ in mine):
            raise Refusal(404, "NAME_UNKNOWN", f"no repository {repository}")
        return sorted(rest for owner, rest in mine if owner == repository and not rest.startswith("sha256:"))

    def manifest(self, repository: str, reference: str) -> Descriptor:
        """What a tag or a digest stands for."""
        names = self.store.names()
        if not reference.startswith("sha256:"):
            found = names.get(f"{repository}:{reference}")
        else:
            mine = (d for name, d in names.items() if _split(name)[0] == repository)
            found = next((d for d in mine if d.digest == reference), None) or self._below(repository, reference)
        if found is None or not self.store.has(found.digest):
            raise Refusal(404, "MANIFEST_UNKNOWN", f"{repository} has no {reference}")
        return found

    def _below(self, repository: str, digest: str) -> Descriptor | None:
        """A manifest that an index of the repository lists."""
        for name, one in self.store.names().items():
            if _split(name)[0] == repository and one.media_type in INDEXES and self.store.has(one.digest):
                for tree in self.store.read_json(one).get("manifests") or []:
                    found = Descriptor.from_json(tree, name)
                    if found.digest == digest:
                        return found
        return None

    def put(self, repository: str, reference: str, data: bytes, content_type: str) -> tuple[Descriptor, str]:
        """Keep a manifest under a tag or its digest; it, and the digest of its subject if it has one."""
        tree = _parsed(data)
        media_type = str(tree.get("mediaType") or content_type)
        if media_type != content_type:
            raise Refusal(400, "MANIFEST_INVALID", f"its mediaType is {media_type}, and Content-Type {content_type}")
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        if reference.startswith("sha256:") and reference != digest:
            raise Refusal(400, "DIGEST_INVALID", f"the manifest is {digest}, not {reference}")
        self._check_parts(tree, media_type)
        kept = self.store.add(data, media_type)
        found = Descriptor(media_type, kept.digest, kept.size)
        mark = "@" if reference.startswith("sha256:") else ":"
        self.store.name(f"{repository}{mark}{reference}", found)
        subject = tree.get("subject")
        if subject is None:
            return found, ""
        about = check_digest(subject.get("digest") if isinstance(subject, dict) else None, "subject")
        self._refer(repository, about, found, tree)
        return found, about

    def _check_parts(self, tree: dict[str, Any], media_type: str) -> None:
        """Refusal for what a manifest lists and the store has not."""
        if media_type in INDEXES:
            parts = tree.get("manifests")
        elif media_type in MANIFESTS:
            layers = tree.get("layers")
            parts = [tree.get("config"), *(layers if isinstance(layers, list) else [None])]
        else:
            raise Refusal(400, "MANIFEST_INVALID", f"{media_type or 'no media type'}: neither a manifest nor an index")
        if not isinstance(parts, list):
            raise Refusal(400, "MANIFEST_INVALID", "an index lists manifests")
        for part in parts:
            described = Descriptor.from_json(part, "manifest")
            if not self.store.has(described.digest) and not (isinstance(part, dict) and part.get("urls")):
                raise Refusal(404, "MANIFEST_BLOB_UNKNOWN", f"{described.digest} is not here; push it first")

    def remove(self, repository: str, reference: str) -> None:
        """Forget a tag, or every name of a digest. Blobs stay until they are collected.

        What has lost its last name in the repository is no longer listed as a referrer.
        """
        names = self.store.names()
        if not reference.startswith("sha256:"):
            gone = [f"{repository}:{reference}"] if f"{repository}:{reference}" in names else []
        else:
            gone = [n for n, d in names.items() if _split(n)[0] == repository and d.digest == reference]
        if not gone:
            raise Refusal(404, "MANIFEST_UNKNOWN", f"{repository} has no {reference}")
        lost = {names[name].digest: names[name] for name in gone}
        for name in gone:
            self.store.unname(name)
        left = {d.digest for name, d in names.items() if name not in gone and _split(name)[0] == repository}
        for digest in lost.keys() - left:
            self._forget(repository, lost[digest])

    # referrers

    def referrers(self, repository: str, digest: str) -> dict[str, Any]:
        """The index of what refers to a manifest; an empty one where nothing does."""
        found = self.store.find(_referring(repository, digest))
        if found is None:
            return {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
        return self.store.read_json(found)

    def _forget(self, repository: str, referrer: Descriptor) -> None:
        try:
            subject = self.store.read_json(referrer).get("subject")
            about = check_digest(subject.get("digest") if isinstance(subject, dict) else None, "subject")
        except GantlineError:
            return  # about nothing, or damaged
        index = self.referrers(repository, about)
        kept = [one for one in index["manifests"] if one.get("digest") != referrer.digest]
        if kept:
            self._list(repository, about, {**index, "manifests": kept})
        else:
            self.store.unname(_referring(repository, about))

    def _list(self, repository: str, about: str, index: dict[str, Any]) -> None:
        kept = self.store.add(canonical_json(index), INDEX)
        self.store.name(_referring(repository, about), Descriptor(INDEX, kept.digest, kept.size))

    def _refer(self, repository: str, about: str, found: Descriptor, tree: dict[str, Any]) -> None:
        config = tree.get("config")
        kind = str(tree.get("artifactType") or (config.get("mediaType") if isinstance(config, dict) else "") or "")
        described = Descriptor(
            found.media_type, found.digest, found.size, None, kind, dict(tree.get("annotations") or {})
        ).to_json()
        index = self.referrers(repository, about)
        others = [one for one in index["manifests"] if one.get("digest") != found.digest]
        self._list(repository, about, {**index, "manifests": [*others, described]})


def _referring(repository: str, digest: str) -> str:
    return f"{repository}:{digest.replace(':', '-')}"


def _split(name: str) -> tuple[str, str]:
    """Repository, and tag or digest, of a name in the store."""
    if "@" in name:
        repository, _, rest = name.partition("@")
        return repository, rest
    repository, _, rest = name.rpartition(":")
    return repository, rest


def _parsed(data: bytes) -> dict[str, Any]:
    if len(data) > LONGEST:
        raise Refusal(413, "SIZE_INVALID", f"a manifest has {LONGEST} bytes at most")
    try:
        return json_object(data, "manifest")
    except BadArtefact as e:
        raise Refusal(400, "MANIFEST_INVALID", e.message) from e
