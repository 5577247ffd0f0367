"""Remote: manifests by tag and digest, tags over pages, referrers by API and by the tag that stands in."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from gantline.errors import BadArtefact, Denied, GantlineError, NotFound, Unreachable, Unsupported, VerificationFailed
from gantline.oci.credentials import Credentials
from gantline.oci.descriptor import DOCKER_MANIFEST, INDEX, MANIFEST, Descriptor
from gantline.oci.patience import Patience
from gantline.oci.remote import Remote, stand_in
from gantline.oci.transport import Transport
from tests.oci.faulty_registry import Answer, Registry, digest_of

SUBJECT = "sha256:" + "ab" * 32
DATA = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": []}).encode()


@pytest.fixture
def remote(registry: Registry) -> Iterator[Remote]:
    patience = Patience(tries=2, first_s=0.01)
    with Transport(registry.host, registry.host, None, Credentials({"HOME": "/none"}), patience) as transport:
        yield Remote(transport, "team/iris")


def test_manifests(remote: Remote) -> None:
    assert remote.find("1") is None
    assert remote.put_manifest("1", DATA, MANIFEST) is False
    expected = Descriptor(MANIFEST, digest_of(DATA), len(DATA))
    assert remote.find("1") == expected == remote.find(digest_of(DATA))
    assert remote.manifest("1") == (expected, DATA) == remote.manifest(digest_of(DATA))
    with pytest.raises(NotFound, match="team/iris:2: the registry has no such image"):
        remote.manifest("2")


def test_documents_that_are_cut(registry: Registry, remote: Remote) -> None:
    remote.put_manifest("1", DATA, MANIFEST)
    registry.answers = [Answer("GET", "manifests/1", 200, {}, DATA[:10], lost=len(DATA) - 10)]
    assert remote.manifest("1")[1] == DATA
    registry.answers = [Answer("GET", "tags/list", 200, {}, b'{"tags"', lost=10)]
    assert remote.tags() == ["1"]
    registry.answers = [Answer("GET", "manifests/1", 200, {}, b"{", times=9, lost=1)]
    with pytest.raises(Unreachable, match=r"ended after 1 of 2 bytes|IncompleteRead|closed the connection"):
        remote.manifest("1")


def test_a_web_page(registry: Registry, remote: Remote) -> None:
    registry.answers = [Answer("GET", "manifests/1", 200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>")]
    with pytest.raises(BadArtefact, match="the answer is a web page: a proxy's, or this is no registry"):
        remote.manifest("1")


def test_documents_nested_without_end(registry: Registry, remote: Remote) -> None:
    deep = b"[" * 60_000
    registry.answers = [Answer("GET", "tags/list", 200, {}, deep), Answer("GET", "tags/list", 404, {}, deep)]
    with pytest.raises(BadArtefact, match="tags/list is no JSON object"):
        remote.tags()
    with pytest.raises(NotFound, match=r"cannot list tags of .*: 404$"):
        remote.tags()


@pytest.mark.parametrize("length", ["\u00b2", "9" * 5000, "-1", "x"])
def test_a_length_that_is_none(registry: Registry, remote: Remote, length: str) -> None:
    headers = {"Docker-Content-Digest": digest_of(DATA), "Content-Length": length}
    registry.answers = [Answer("HEAD", "manifests/1", 200, headers)]
    assert remote.find("1") is None


def test_types_that_a_registry_does_not_say(registry: Registry, remote: Remote) -> None:
    for said, tree, found in (
        ("application/json", {"mediaType": DOCKER_MANIFEST}, DOCKER_MANIFEST),
        ("text/plain; charset=utf-8", {"manifests": []}, INDEX),
        ("", {"layers": []}, MANIFEST),
    ):
        registry.manifests["team/iris", "1"] = (said, json.dumps(tree).encode())
        assert remote.manifest("1")[0].media_type == found


def test_a_manifest_that_was_changed(registry: Registry, remote: Remote) -> None:
    remote.put_manifest("1", DATA, MANIFEST)
    registry.changed = {digest_of(DATA): b'{"x": 1}'}
    for target in ("1", digest_of(DATA)):
        with pytest.raises(VerificationFailed, match=f"digest {digest_of(registry.changed[digest_of(DATA)])}, not"):
            remote.manifest(target)
    registry.answers = [Answer("PUT", "/manifests/", 201, {"Docker-Content-Digest": SUBJECT})]
    with pytest.raises(VerificationFailed, match=f"was kept as {SUBJECT}"):
        remote.put_manifest("1", DATA, MANIFEST)


def test_tags_over_pages(registry: Registry, remote: Remote) -> None:
    for tag in ("a", "b", "c", "d", "e"):
        remote.put_manifest(tag, DATA, MANIFEST)
    assert remote.tags() == ["a", "b", "c", "d", "e"] and registry.count("GET", "/tags/") == 3
    registry.answers = [Answer("GET", "/tags/", 200, {}, b"[]")]
    with pytest.raises(BadArtefact, match="is no JSON object"):
        remote.tags()


@pytest.mark.parametrize("api", [True, False])
def test_referrers(registry: Registry, remote: Remote, api: bool) -> None:
    registry.has_referrers = api
    assert remote.referrers(SUBJECT) == []
    tree = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": "a/b",
        "layers": [],
        "subject": {"digest": SUBJECT},
    }
    data = json.dumps(tree).encode()
    assert remote.put_manifest(digest_of(data), data, MANIFEST) is api
    one = Descriptor(MANIFEST, digest_of(data), len(data), artifact_type="a/b")
    if not api:
        listed = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [one.to_json()]}).encode()
        remote.put_manifest(stand_in(SUBJECT), listed, INDEX)
        assert stand_in(SUBJECT) == "sha256-" + "ab" * 32
    assert remote.referrers(SUBJECT) == [one]


def test_blobs(registry: Registry, remote: Remote) -> None:
    data = bytes(range(256)) * 10
    registry.blobs["team/iris", digest_of(data)] = data
    assert remote.has_blob(digest_of(data)) and not remote.has_blob(SUBJECT)
    blob = Descriptor("x/y", digest_of(data), len(data))
    for start in (0, 100):
        with remote.blob(blob, start) as (found, begins):
            assert begins == start and found.read() == data[start:]
    registry.ignores_ranges = True
    with remote.blob(blob, 100) as (found, begins):
        assert begins == 0 and found.read() == data


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (403, Denied, r"403 \(NO: not for you\); this user may not"),
        (404, NotFound, "does not take the manifest"),
        (405, Unsupported, "405"),
        (400, BadArtefact, r"registry .*: does not take the manifest .*team/iris 1: 400 \(NO: not for you\)"),
    ],
)
def test_refusals(registry: Registry, remote: Remote, status: int, kind: type[GantlineError], words: str) -> None:
    body = b'{"errors": [{"code": "NO", "message": "not for\\nyou"}]}'
    registry.answers = [Answer("PUT", "/manifests/", status, {}, body)]
    with pytest.raises(kind, match=words) as caught:
        remote.put_manifest("1", DATA, MANIFEST)
    assert "\n" not in caught.value.message
