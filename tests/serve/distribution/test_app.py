"""The protocol, address by address."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

import pytest

from gantline.oci.descriptor import CONFIG, INDEX, LAYER, MANIFEST

from .conftest import Server

OTHER = "sha256:" + "0" * 64


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def push_blob(server: Server, name: str, data: bytes) -> str:
    digest = digest_of(data)
    reply = server.ask("POST", f"/v2/{name}/blobs/uploads/?digest={digest}", data)
    assert reply.status == 201, reply.body
    return digest


def push_image(server: Server, name: str, tag: str, **more: Any) -> str:
    config, layer = b'{"x": "%s"}' % tag.encode(), f"{name}{tag}".encode()
    tree = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": push_blob(server, name, config), "size": len(config)},
        "layers": [{"mediaType": LAYER, "digest": push_blob(server, name, layer), "size": len(layer)}],
        **more,
    }
    return put(server, name, tag, tree)


def put(server: Server, name: str, reference: str, tree: dict[str, Any]) -> str:
    data = json.dumps(tree).encode()
    reply = server.ask("PUT", f"/v2/{name}/manifests/{reference}", data, {"Content-Type": tree["mediaType"]})
    assert reply.status == 201, reply.body
    assert reply.headers["docker-content-digest"] == digest_of(data)
    return digest_of(data)


def test_what_it_is(server: Server) -> None:
    reply = server.ask("GET", "/v2/")
    assert (reply.status, reply.headers["docker-distribution-api-version"]) == (200, "registry/2.0")


def test_a_blob_in_one_piece_and_in_many(server: Server) -> None:
    data = os.urandom(300_000)
    digest = digest_of(data)
    assert server.ask("HEAD", f"/v2/a/blobs/{digest}").status == 404
    begun = server.ask("POST", "/v2/a/blobs/uploads/")
    assert begun.status == 202 and begun.headers["range"] == "0-0"
    where = begun.headers["location"]
    first = server.ask("PATCH", where, data[:100_000], {"Content-Range": "0-99999"})
    assert (first.status, first.headers["range"]) == (202, "0-99999")
    wrong = server.ask("PATCH", where, data[:5], {"Content-Range": "7-11"})
    assert (wrong.status, wrong.headers["range"], wrong.code) == (416, "0-99999", "BLOB_UPLOAD_INVALID")
    assert server.ask("GET", where).headers["range"] == "0-99999"
    assert server.ask("PATCH", where, data[100_000:200_000]).status == 202
    done = server.ask("PUT", f"{where}?digest={digest}", data[200_000:])
    assert (done.status, done.headers["location"]) == (201, f"/v2/a/blobs/{digest}")
    got = server.ask("GET", f"/v2/a/blobs/{digest}")
    assert got.body == data and got.headers["docker-content-digest"] == digest
    part = server.ask("GET", f"/v2/a/blobs/{digest}", headers={"Range": "bytes=10-19"})
    assert (part.status, part.body) == (206, data[10:20])
    head = server.ask("HEAD", f"/v2/a/blobs/{digest}")
    assert (head.status, head.headers["content-length"], head.body) == (200, "300000", b"")
    assert server.ask("GET", where).status == 404, "it is over"
    assert push_blob(server, "b", b"whole") and server.store.has(digest_of(b"whole"))


def test_what_is_not_what_it_was_said_to_be_is_not_kept(server: Server) -> None:
    reply = server.ask("POST", f"/v2/a/blobs/uploads/?digest={OTHER}", b"something")
    assert (reply.status, reply.code) == (400, "DIGEST_INVALID")
    where = server.ask("POST", "/v2/a/blobs/uploads/").headers["location"]
    assert server.ask("PUT", where, b"x").code == "DIGEST_INVALID"
    assert server.ask("PUT", f"{where}?digest=sha256:no", b"").code == "DIGEST_INVALID"
    assert server.ask("DELETE", where).status == 204 and server.ask("GET", where).status == 404
    for digest in ("sha256:no", ""):
        assert server.ask("POST", f"/v2/a/blobs/uploads/?digest={digest}", b"x").code == "DIGEST_INVALID"
    assert list((server.store.root / "uploads").iterdir()) == []


def test_a_mount(server: Server) -> None:
    digest = push_blob(server, "a", b"to be mounted")
    assert server.ask("POST", f"/v2/c/blobs/uploads/?mount={digest}&from=a").status == 201
    assert server.ask("POST", f"/v2/c/blobs/uploads/?mount={OTHER}&from=a").status == 202


def test_a_manifest_by_tag_and_digest(server: Server) -> None:
    digest = push_image(server, "team/iris", "1")
    for reference in ("1", digest):
        reply = server.ask("GET", f"/v2/team/iris/manifests/{reference}")
        assert digest_of(reply.body) == digest == reply.headers["docker-content-digest"]
        assert reply.headers["content-type"] == MANIFEST
        head = server.ask("HEAD", f"/v2/team/iris/manifests/{reference}")
        assert (head.headers["content-length"], head.body) == (str(len(reply.body)), b"")
    assert server.store.names()["team/iris:1"].digest == digest, "the store has it by the same name"
    assert server.ask("GET", f"/v2/other/manifests/{digest}").code == "MANIFEST_UNKNOWN"
    assert server.ask("GET", "/v2/team/iris/manifests/2").code == "MANIFEST_UNKNOWN"


def test_an_index_of_manifests_that_have_no_tag(server: Server) -> None:
    digest = push_image(server, "many", "x")
    size = len(server.ask("GET", f"/v2/many/manifests/{digest}").body)
    tree = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [{"mediaType": MANIFEST, "digest": digest, "size": size}],
    }
    put(server, "many", "all", tree)
    assert server.ask("DELETE", "/v2/many/manifests/x").status == 202
    assert server.ask("GET", f"/v2/many/manifests/{digest}").status == 200, "the index lists it"
    tree["manifests"] = [{"mediaType": MANIFEST, "digest": OTHER, "size": 1}]
    data = json.dumps(tree).encode()
    refused = server.ask("PUT", "/v2/many/manifests/all", data, {"Content-Type": INDEX})
    assert (refused.status, refused.code) == (404, "MANIFEST_BLOB_UNKNOWN")


@pytest.mark.parametrize(
    ("data", "kind", "code"),
    [
        (b"{", MANIFEST, "MANIFEST_INVALID"),
        (b"[]", MANIFEST, "MANIFEST_INVALID"),
        (b"{}", "text/plain", "MANIFEST_INVALID"),
        (b"{}", MANIFEST, "MANIFEST_INVALID"),
        (b'{"layers": 3, "config": {}}', MANIFEST, "MANIFEST_INVALID"),
        (b'{"manifests": 3}', INDEX, "MANIFEST_INVALID"),
        (b'{"mediaType": "a/b"}', MANIFEST, "MANIFEST_INVALID"),
        (b" " * (5 << 20), MANIFEST, "SIZE_INVALID"),
    ],
)
def test_what_is_no_manifest(server: Server, data: bytes, kind: str, code: str) -> None:
    reply = server.ask("PUT", "/v2/bad/manifests/1", data, {"Content-Type": kind})
    assert reply.code == code and reply.status in (400, 413)
    assert "bad:1" not in server.store.names()


def test_by_its_digest_it_must_be_it(server: Server) -> None:
    push_image(server, "a", "y")
    data = server.ask("GET", "/v2/a/manifests/y").body
    assert server.ask("PUT", f"/v2/a/manifests/{OTHER}", data, {"Content-Type": MANIFEST}).code == "DIGEST_INVALID"
    reply = server.ask("PUT", f"/v2/a/manifests/{digest_of(data)}", data, {"Content-Type": MANIFEST})
    assert reply.status == 201


def test_referrers(server: Server) -> None:
    subject = push_image(server, "signed", "1")
    size = len(server.ask("GET", "/v2/signed/manifests/1").body)
    about = {"mediaType": MANIFEST, "digest": subject, "size": size}
    assert json.loads(server.ask("GET", f"/v2/signed/referrers/{subject}").body)["manifests"] == []
    for kind in ("application/x.sbom", "application/x.signature"):
        tree = json.loads(server.ask("GET", "/v2/signed/manifests/1").body)
        tree |= {"artifactType": kind, "subject": about, "annotations": {"a": kind}}
        data = json.dumps(tree).encode()
        path = f"/v2/signed/manifests/{digest_of(data)}"
        assert server.ask("PUT", path, data, {"Content-Type": MANIFEST}).headers["oci-subject"] == subject
        assert server.ask("PUT", path, data, {"Content-Type": MANIFEST}).status == 201, "again changes nothing"
    reply = server.ask("GET", f"/v2/signed/referrers/{subject}")
    assert reply.headers["content-type"] == INDEX
    assert len(json.loads(reply.body)["manifests"]) == 2
    filtered = server.ask("GET", f"/v2/signed/referrers/{subject}?artifactType=application/x.sbom")
    (one,) = json.loads(filtered.body)["manifests"]
    assert one["annotations"] == {"a": "application/x.sbom"}
    assert filtered.headers["oci-filters-applied"] == "artifactType"


def test_a_referrer_that_is_deleted_is_listed_no_more(server: Server) -> None:
    subject = push_image(server, "unsigned", "1")
    about = {"mediaType": MANIFEST, "digest": subject, "size": 1}
    tree = json.loads(server.ask("GET", "/v2/unsigned/manifests/1").body) | {"subject": about}
    one, two = (put(server, "unsigned", name, {**tree, "annotations": {"a": name}}) for name in ("one", "two"))
    put(server, "unsigned", "two-again", {**tree, "annotations": {"a": "two"}})

    def listed() -> set[str]:
        found = json.loads(server.ask("GET", f"/v2/unsigned/referrers/{subject}").body)["manifests"]
        return {each["digest"] for each in found}

    assert listed() == {one, two}
    assert server.ask("DELETE", "/v2/unsigned/manifests/two").status == 202
    assert listed() == {one, two}, "it has another name"
    assert server.ask("DELETE", f"/v2/unsigned/manifests/{two}").status == 202
    assert listed() == {one}
    assert server.ask("DELETE", "/v2/unsigned/manifests/one").status == 202
    assert listed() == set()
    assert json.loads(server.ask("GET", "/v2/unsigned/tags/list").body)["tags"] == ["1"]


def test_a_blob_that_a_client_has_looked_for_is_not_garbage(server: Server) -> None:
    path = server.store.path(push_blob(server, "a", b"to be used in a moment"))
    os.utime(path, (1, 1))
    assert server.ask("HEAD", f"/v2/a/blobs/sha256:{path.name}").status == 200
    assert path.stat().st_mtime > 1_000_000


def test_names_that_are_no_repositories_are_not_in_the_catalogue(server: Server) -> None:
    digest = push_image(server, "seen", "1")
    known = server.store.names()["seen:1"]
    for name in ("localhost:5000/pulled:1", digest.replace(":", "-"), "Iris.pkg"):
        server.store.name(name, known)
    found = json.loads(server.ask("GET", "/v2/_catalog").body)["repositories"]
    assert "seen" in found and all(name.islower() and ":" not in name for name in found)


def test_what_is_damaged_on_the_disk_is_the_registrys_fault(server: Server) -> None:
    digest = push_image(server, "damaged", "1")
    server.store.path(digest).write_bytes(b"{}")
    reply = server.ask("GET", "/v2/damaged/manifests/1")
    assert (reply.status, "not the bytes that its name says" in reply.body.decode()) == (500, True)


def test_lists_in_pages(server: Server) -> None:
    for tag in ("1", "2", "3"):
        push_image(server, "paged", tag)
    assert json.loads(server.ask("GET", "/v2/paged/tags/list").body) == {"name": "paged", "tags": ["1", "2", "3"]}
    first = server.ask("GET", "/v2/paged/tags/list?n=2")
    assert json.loads(first.body)["tags"] == ["1", "2"]
    link = first.headers["link"]
    assert link.endswith('>; rel="next"')
    assert json.loads(server.ask("GET", link[1:].partition(">")[0]).body)["tags"] == ["3"]
    assert "paged" in json.loads(server.ask("GET", "/v2/_catalog").body)["repositories"]
    assert server.ask("GET", "/v2/nobody/tags/list").code == "NAME_UNKNOWN"


@pytest.mark.parametrize(
    ("asked", "status", "first", "last"),
    [
        ("bytes=500-999", 206, 500, 999),
        ("bytes=500-", 206, 500, 1999),
        ("bytes=-500", 206, 1500, 1999),
        ("bytes=1900-5000", 206, 1900, 1999),
        ("bytes=500-0", 416, 0, -1),
        ("bytes=5000-6000", 416, 0, -1),
        ("bytes=0-1,5-6", 200, 0, 1999),
        ("bytes=a-b", 200, 0, 1999),
        ("lines=1-2", 200, 0, 1999),
    ],
)
def test_ranges(server: Server, asked: str, status: int, first: int, last: int) -> None:
    data = bytes(range(250)) * 8
    digest = push_blob(server, "ranged", data)
    reply = server.ask("GET", f"/v2/ranged/blobs/{digest}", headers={"Range": asked})
    assert reply.status == status, reply.body
    if status == 416:
        assert reply.headers["content-range"] == "bytes */2000"
        return
    assert reply.body == data[first : last + 1]
    if status == 206:
        assert reply.headers["content-range"] == f"bytes {first}-{last}/2000"
    head = server.ask("HEAD", f"/v2/ranged/blobs/{digest}", headers={"Range": asked})
    assert (head.status, head.headers["content-length"]) == (200, "2000")


def test_digests_and_tags_that_are_none(server: Server) -> None:
    data, kind = b'{"schemaVersion": 2, "manifests": []}', {"Content-Type": INDEX}
    wrong = ("sha256:baddigeststring", "md5:" + "0" * 32, "sha512:" + "0" * 128)
    for digest in wrong:
        reply = server.ask("PUT", f"/v2/wrongs/manifests/{digest}", data, kind)
        assert (reply.status, reply.code) == (400, "DIGEST_INVALID")
        reply = server.ask("POST", f"/v2/wrongs/blobs/uploads/?digest={digest}", data)
        assert (reply.status, reply.code) == (400, "DIGEST_INVALID")
        reply = server.ask("GET", f"/v2/wrongs/manifests/{digest}")
        assert (reply.status, reply.code) == (404, "MANIFEST_UNKNOWN")
        reply = server.ask("GET", f"/v2/wrongs/blobs/{digest}")
        assert (reply.status, reply.code) == (404, "BLOB_UNKNOWN")
    reply = server.ask("PUT", "/v2/wrongs/manifests/-wrong", data, kind)
    assert (reply.status, reply.code) == (400, "MANIFEST_INVALID")
    assert server.ask("GET", "/v2/wrongs/tags/list").code == "NAME_UNKNOWN"  # nothing was kept


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/Upper/tags/list", 404),
        ("GET", "/v2/a/manifests/..", 404),
        ("GET", "/v2/../../etc/passwd", 404),
        ("GET", "/v2/a/blobs/sha256:../../etc/passwd", 404),
        ("GET", "/v2/a/blobs/uploads/../../index.json", 404),
        ("GET", "/v2/a/blobs/uploads/" + "0" * 36, 404),
        ("GET", "/v2/" + "a" * 300 + "/tags/list", 400),
        ("DELETE", f"/v2/a/blobs/{OTHER}", 405),
        ("POST", "/v2/a/tags/list", 405),
        ("GET", "/elsewhere", 404),
    ],
)
def test_addresses_that_are_none(server: Server, method: str, path: str, status: int) -> None:
    assert server.ask(method, path).status == status
