"""Remote: one repository of a registry, by the distribution protocol (v1.1): manifests, blobs, tags, referrers."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ..errors import BadArtefact, NotFound, VerificationFailed
from .authorization import Scopes
from .connections import Bytes, Response, whole
from .descriptor import INDEX, INDEXES, MANIFESTS, Descriptor, check_digest
from .reference import Reference
from .store import DOCUMENT, json_object
from .transport import Transport

_ACCEPT = ", ".join((*INDEXES, *MANIFESTS))
_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1"
_NEXT = re.compile(r'<([^>]*)>\s*;[^,]*\brel="?next"?')
_PAGES = 10_000


@dataclass(frozen=True, slots=True)
class Remote:
    """A repository. `name` is for people: host and repository."""

    transport: Transport
    repository: str

    @classmethod
    def of(cls, transport: Transport, reference: Reference) -> Remote:
        """The repository of a reference."""
        return cls(transport, reference.repository)

    @property
    def name(self) -> str:
        return f"{self.transport.host}/{self.repository}"

    @property
    def reads(self) -> Scopes:
        return (f"repository:{self.repository}:pull",)

    @property
    def writes(self) -> Scopes:
        return (f"repository:{self.repository}:pull,push",)

    def url(self, path: str) -> str:
        """Of something in this repository."""
        return f"{self.transport.base}/v2/{self.repository}/{path}"

    # manifests

    def find(self, target: str) -> Descriptor | None:
        """What a tag or digest stands for, without getting it; None if there is none, or the registry does not say."""
        headers = {"Accept": _ACCEPT}
        with self.transport.call("HEAD", self.url(f"manifests/{target}"), self.reads, headers) as found:
            digest = found.headers.get("Docker-Content-Digest", "")
            length = whole(found.headers.get("Content-Length"))
            if found.status != 200 or not digest or length is None:
                return None
            return Descriptor(_media_type(found), check_digest(digest, self.name), length)

    def manifest(self, target: str) -> tuple[Descriptor, bytes]:
        """A manifest or index and its bytes, checked. NotFound, VerificationFailed, BadArtefact."""
        where = f"{self.name}{'@' if ':' in target else ':'}{target}"
        headers = {"Accept": _ACCEPT}
        call = self.transport.call
        with call("GET", self.url(f"manifests/{target}"), self.reads, headers, most=DOCUMENT + 1) as found:
            if found.status == 404:
                raise NotFound(f"{where}: the registry has no such image; see `skopeo list-tags docker://{self.name}`")
            if found.status != 200:
                raise self.transport.refusal(found, f"cannot get {where}")
            said = found.headers.get("Docker-Content-Digest", "")
            data = found.read(DOCUMENT + 1)
            media_type = _media_type(found)
        if len(data) > DOCUMENT:
            raise BadArtefact(f"{where}: a manifest of more than {DOCUMENT} bytes")
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        expected = target if ":" in target else said
        if expected and expected != digest:
            raise VerificationFailed(f"{where}: digest {digest}, not {expected}: the registry, or a proxy, changed it")
        if media_type == "text/html":
            raise BadArtefact(f"{where}: the answer is a web page: a proxy's, or this is no registry")
        tree = json_object(data, where)
        if media_type.startswith(_SCHEMA_1) or tree.get("schemaVersion") == 1:
            raise BadArtefact(f"{where}: in Docker's schema 1 of 2015; push it again with a newer tool")
        if media_type not in (*INDEXES, *MANIFESTS):
            media_type = str(tree.get("mediaType") or (INDEX if "manifests" in tree else MANIFESTS[0]))
        if media_type not in (*INDEXES, *MANIFESTS):
            raise BadArtefact(f"{where}: {media_type!r:.100} is neither a manifest nor an index")
        return Descriptor(media_type, digest, len(data), artifact_type=str(tree.get("artifactType") or "")), data

    def put_manifest(self, target: str, data: bytes, media_type: str) -> bool:
        """Write a manifest under a tag or its digest; whether the registry keeps referrers by itself."""
        headers = {"Content-Type": media_type}
        with self.transport.call("PUT", self.url(f"manifests/{target}"), self.writes, headers, Bytes(data)) as found:
            if found.status not in (200, 201, 202):
                raise self.transport.refusal(found, f"does not take the manifest {self.name} {target}")
            said = found.headers.get("Docker-Content-Digest")
            digest = "sha256:" + hashlib.sha256(data).hexdigest()
            if said and said != digest:
                raise VerificationFailed(f"{self.name}: {target} was kept as {said}, and sent as {digest}")
            return found.headers.get("OCI-Subject") is not None

    # blobs

    def has_blob(self, digest: str, scopes: Scopes = ()) -> bool:
        """Whether the repository has a blob."""
        with self.transport.call("HEAD", self.url(f"blobs/{digest}"), scopes or self.writes) as found:
            if found.status not in (200, 404):
                raise self.transport.refusal(found, f"cannot look for {digest}")
            return found.status == 200

    @contextmanager
    def blob(self, descriptor: Descriptor, start: int) -> Iterator[tuple[Response, int]]:
        """A blob from byte `start` on, and how many bytes come before those (0, where all is sent again).

        Cut where there is no answer; the caller knows whether it may go on.
        """
        headers = {"Range": f"bytes={start}-"} if start else {}
        url = self.url(f"blobs/{descriptor.digest}")
        with self.transport.once("GET", url, self.reads, headers, again=True) as found:
            if found.status == 404:
                raise NotFound(f"{self.name}: the registry lost blob {descriptor.digest}; push the image again")
            if found.status not in (200, 206):
                yield found, -1
                return
            begins = re.match(r"bytes (\d+)-", found.headers.get("Content-Range", "")) if found.status == 206 else None
            yield found, int(begins[1]) if begins else 0

    # tags, referrers

    def tags(self) -> list[str]:
        """All of them, in the registry's order."""
        return [str(t) for page in self._pages("tags/list", "tags") for t in page]

    def referrers(self, digest: str) -> list[Descriptor]:
        """Manifests whose subject this is: by the API, or by the tag that stands in for it."""
        found = [
            Descriptor.from_json(tree, self.name)
            for page in self._pages(f"referrers/{digest}", "manifests", absent=(400, 404, 405))
            for tree in page
        ]
        listed = {d.digest for d in found}
        return found + [d for d in self.listed(digest) if d.digest not in listed]

    def listed(self, digest: str) -> list[Descriptor]:
        """What the stand-in tag `sha256-HEX` lists: for registries older than the referrers API."""
        try:
            descriptor, data = self.manifest(stand_in(digest))
        except NotFound:
            return []
        trees = json_object(data, self.name).get("manifests") if descriptor.media_type in INDEXES else []
        return [Descriptor.from_json(tree, self.name) for tree in trees or []]

    def _pages(self, path: str, key: str, absent: tuple[int, ...] = ()) -> Iterator[list[Any]]:
        url = self.url(path)
        for _ in range(_PAGES):
            with self.transport.call("GET", url, self.reads, most=DOCUMENT) as found:
                if found.status in absent:
                    return
                if found.status != 200:
                    raise self.transport.refusal(found, f"cannot list {key} of {self.name}")
                link = _NEXT.search(found.headers.get("Link", ""))
                try:
                    page = json.loads(found.read()).get(key)
                except (ValueError, AttributeError, RecursionError) as e:
                    raise BadArtefact(f"{self.name}: {path} is no JSON object") from e
            yield page if isinstance(page, list) else []
            if link is None:
                return
            url = self.transport.resolve(url, quote(link[1], safe="/:?&=%~@+,;"))


def stand_in(digest: str) -> str:
    """The tag of an index that lists what refers to a digest."""
    return digest.replace(":", "-")


def _media_type(response: Response) -> str:
    return response.headers.get("Content-Type", "").partition(";")[0].strip()
