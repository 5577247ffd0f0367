"""Upload: what a registry can do to one blob on its way, and that it arrives, or is cancelled."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from gantline.errors import BadArtefact, Denied, NotFound, Unavailable, VerificationFailed
from gantline.oci.credentials import Credentials
from gantline.oci.descriptor import LAYER, Descriptor
from gantline.oci.patience import Patience
from gantline.oci.remote import Remote
from gantline.oci.transport import Transport
from gantline.oci.upload import Upload
from tests.oci.faulty_registry import Answer, Registry, digest_of
from tests.oci.test_push import noise

CHUNK = 100_000


@pytest.fixture
def remote(registry: Registry) -> Iterator[Remote]:
    patience = Patience(tries=4, first_s=0.01, longest_s=0.02)
    with Transport(registry.host, registry.host, None, Credentials({"HOME": "/none"}), patience) as transport:
        yield Remote(transport, "iris")


@pytest.fixture
def blob(tmp_path: Path) -> tuple[Path, Descriptor]:
    data = noise(450_001)
    path = tmp_path / "blob"
    path.write_bytes(data)
    return path, Descriptor(LAYER, digest_of(data), len(data))


def upload(remote: Remote, blob: tuple[Path, Descriptor], chunk: int = CHUNK) -> Upload:
    return Upload(remote, *blob, chunk)


def test_in_chunks_or_whole(registry: Registry, remote: Remote, blob: tuple[Path, Descriptor]) -> None:
    at: list[int] = []
    assert upload(remote, blob).run(told=at.append) is False
    assert registry.count("PATCH") == 5 and registry.blobs["iris", blob[1].digest] == blob[0].read_bytes()
    ranges = [s.headers["Content-Range"] for s in registry.seen if s.method == "PATCH"]
    assert ranges[0] == "0-99999" and ranges[-1] == "400000-450000"
    assert at[-1] == 450_001 and all(a <= b for a, b in pairwise(at))
    registry.blobs.clear()
    upload(remote, blob, chunk=1 << 20).run()
    assert registry.count("PATCH") == 5 and registry.blobs["iris", blob[1].digest]


def test_an_empty_blob(registry: Registry, remote: Remote, tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    empty = Descriptor(LAYER, digest_of(b""), 0)
    upload(remote, (tmp_path / "empty", empty)).run()
    assert registry.blobs["iris", empty.digest] == b""


def test_mounts(registry: Registry, remote: Remote, blob: tuple[Path, Descriptor]) -> None:
    registry.blobs["base", blob[1].digest] = blob[0].read_bytes()
    mounted = upload(remote, blob)
    assert mounted.run("base") is True and mounted.wire == 0 and registry.received == 0
    del registry.blobs["iris", blob[1].digest]
    assert upload(remote, blob).run("elsewhere") is False and registry.received == 450_001


@pytest.mark.parametrize("path, status", [("mount=", 403), ("mount=", 404), ("%3Abase%3Apull", 401)])
def test_where_one_may_not_read_nothing_is_mounted(
    registry: Registry, blob: tuple[Path, Descriptor], tmp_path: Path, path: str, status: int
) -> None:
    """By the registry's word, or by that of its token server, which gives no token for the other repository."""
    registry.scheme = "bearer"
    registry.answers = [Answer("GET" if status == 401 else "POST", path, status)]
    entry = {"username": registry.user, "password": registry.password}
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.host: entry}}))
    known = Credentials({"HOME": "/none", "DOCKER_CONFIG": str(tmp_path)})
    with Transport(registry.host, registry.host, None, known) as transport:
        sent = upload(Remote(transport, "iris"), blob)
        assert sent.run("base") is False and registry.received == 450_001
    assert registry.answers[0].times == 0 and registry.blobs["iris", blob[1].digest] == blob[0].read_bytes()


def test_least_lengths_of_chunks_are_kept(
    registry: Registry, remote: Remote, blob: tuple[Path, Descriptor], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = "s" * 32
    registry.uploads[session] = bytearray()
    begun = {"Location": f"/v2/iris/blobs/uploads/{session}", "OCI-Chunk-Min-Length": "200000"}
    registry.answers = [Answer("POST", "uploads", 202, begun)]
    upload(remote, blob).run()
    assert registry.count("PATCH") == 3 and registry.blobs["iris", blob[1].digest]


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_trouble_that_passes(registry: Registry, remote: Remote, blob: tuple[Path, Descriptor], status: int) -> None:
    registry.answers = [Answer(m, "uploads", status) for m in ("POST", "PATCH", "PUT", "GET")]
    upload(remote, blob).run()
    assert registry.blobs["iris", blob[1].digest] and registry.received == 450_001


def test_a_session_that_is_lost_begins_anew(registry: Registry, remote: Remote, blob: tuple[Path, Descriptor]) -> None:
    body = b'{"errors": [{"code": "BLOB_UPLOAD_UNKNOWN", "message": "gone"}]}'
    registry.answers = [Answer("PATCH", "uploads", 404, {}, body, times=2)]
    upload(remote, blob).run()
    assert registry.blobs["iris", blob[1].digest] and registry.received == 450_001


def test_one_that_is_always_lost_ends(registry: Registry, remote: Remote, blob: tuple[Path, Descriptor]) -> None:
    registry.answers = [Answer(m, "uploads", 404, times=99) for m in ("PATCH", "PUT")]
    with pytest.raises(NotFound, match="does not take sha256:"):
        upload(remote, blob).run()


def test_trouble_that_stays_cancels_the_upload(
    registry: Registry, remote: Remote, blob: tuple[Path, Descriptor]
) -> None:
    registry.answers = [Answer("PATCH", "uploads", 503, times=99)]
    with pytest.raises(Unavailable, match="503"):
        upload(remote, blob).run()
    assert registry.uploads == {} and registry.count("DELETE") == 1
    registry.answers = [Answer("POST", "uploads", 403)]
    with pytest.raises(Denied, match="does not take blobs for iris: 403; this user may not"):
        upload(remote, blob).run()


def test_a_file_that_is_not_what_its_name_says(
    registry: Registry, remote: Remote, blob: tuple[Path, Descriptor]
) -> None:
    blob[0].write_bytes(bytes(blob[1].size))
    with pytest.raises(VerificationFailed, match="not the bytes that its name says"):
        upload(remote, blob).run()
    assert registry.blobs == {} and registry.uploads == {}


def test_a_location_of_any_kind(registry: Registry, remote: Remote, blob: tuple[Path, Descriptor]) -> None:
    for location in (f"{registry.base}/v2/iris/blobs/uploads/{'s' * 32}", f"/v2/iris/blobs/uploads/{'s' * 32}?a=b%2Fc"):
        registry.uploads["s" * 32] = bytearray()
        registry.answers = [Answer("POST", "uploads", 202, {"Location": location})]
        upload(remote, blob, chunk=1 << 20).run()
        put = next(s.path for s in reversed(registry.seen) if s.method == "PUT")
        assert put.endswith(f"{'?a=b%2Fc&' if '?' in location else '?'}digest={blob[1].digest}")
    registry.answers = [Answer("POST", "uploads", 202)]
    with pytest.raises(BadArtefact, match="does not say where"):
        upload(remote, blob).run()
