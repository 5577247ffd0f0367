"""Signatures of images and packages, as they are typed, and those that do not hold."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gantline.builders.evidence.envelope import ENVELOPE, private_key, seal
from gantline.builders.evidence.statement import IN_TOTO, PROVENANCE, TYPE

from gantline.blobs import canonical_json
from gantline.cli import main
from gantline.oci.archive import write_layout
from gantline.oci.descriptor import MANIFEST
from gantline.oci.image import Image, write_index
from gantline.oci.referrers import attach, referrers
from gantline.oci.store import Store
from gantline.registry.registry import Registry

from .conftest import package

Said = Callable[..., tuple[int, str]]


@pytest.fixture
def own(image: Image, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A home with a copy of the store, to be signed in and damaged."""
    shutil.copytree(place / "home" / "store", tmp_path / "home" / "store")
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    store = Store(tmp_path / "home" / "store")
    store.name("s:1", image.descriptor)
    return store


@pytest.fixture
def said(own: Store, capsys: pytest.CaptureFixture[str]) -> Said:
    """`said("verify", "s:1")`: the exit code and all that was printed; with two keys, mine and other."""

    def run(*words: str) -> tuple[int, str]:
        code = main(words)
        told = capsys.readouterr()
        assert code == 0 or told.err.count("\n") == 1
        return code, told.out + told.err

    for name in ("mine", "other"):
        assert run("keys", "signing", "-o", f"{name}.pem")[0] == 0
    return run


def test_an_image(said: Said, image: Image, own: Store) -> None:
    assert said("verify", "s:1")[0] == 0
    code, out = said("verify", "s:1", "--key", "mine.pub.pem")
    assert code == 4 and "s:1: not signed" in out
    assert said("sign", "s:1", "--key", "mine.pem")[0] == 0
    assert said("sign", "s:1", "--key", "mine.pem")[0] == 0
    assert len(referrers(own, image.descriptor.digest)) == 1, "one key, one signature"
    told = json.loads(said("verify", image.id, "--key", "mine.pub.pem", "--json")[1])
    statement = told["statement"]
    assert statement["subject"][0]["digest"] == {"sha256": image.descriptor.digest[7:]}
    materials = {m["name"] for m in statement["predicate"]["buildDefinition"]["resolvedDependencies"]}
    assert {"s", "thing-1.0-py3-none-any.whl", "base layer 1"} <= materials
    code, out = said("verify", "s:1", "--key", "other.pub.pem")
    assert code == 4 and "signed by sha256:" in out and "not by sha256:" in out
    assert said("sign", "s:1", "--key", "other.pem")[0] == 0
    assert said("verify", "s:1", "--key", "other.pub.pem")[0] == said("verify", "s:1", "--key", "mine.pub.pem")[0] == 0


def test_what_else_is_said_of_it(said: Said, image: Image, own: Store) -> None:
    """A statement of another kind by the same key, and referrers that cannot be read, are none and hide none."""
    digest = image.descriptor.digest
    key = private_key(Path("mine.pem"))
    subject = [{"name": "s", "digest": {"sha256": digest[7:]}}]
    bill = {"_type": TYPE, "subject": subject, "predicateType": "https://cyclonedx.org/bom", "predicate": {}}
    hollow = {**bill, "predicateType": PROVENANCE}
    for number, tree in enumerate((bill, hollow)):
        layer = own.add(canonical_json(seal(canonical_json(tree), IN_TOTO, key)), ENVELOPE)
        attach(own, digest, own.add(canonical_json({"layers": [layer.to_json()], "number": number}), MANIFEST))
    code, out = said("verify", "s:1", "--key", "mine.pub.pem")
    assert code == 4 and "says 'https://cyclonedx.org/bom', and not where sha256:" in out
    for odd in (b'{"layers":5}', b'{"layers":[5]}'):
        attach(own, digest, own.add(odd, MANIFEST))
    gone = own.add(b"{}", MANIFEST)
    attach(own, digest, gone)
    own.path(gone.digest).unlink()
    assert said("verify", "s:1", "--key", "mine.pub.pem")[0] == 4
    assert said("sign", "s:1", "--key", "mine.pem")[0] == said("verify", "s:1", "--key", "mine.pub.pem")[0] == 0


def test_openssl_agrees(said: Said, image: Image, own: Store, tmp_path: Path) -> None:
    said("sign", "s:1", "--key", "mine.pem")
    envelope = _envelope(own, image.descriptor.digest)
    payload = base64.b64decode(envelope["payload"])
    kind = envelope["payloadType"].encode()
    (tmp_path / "signed").write_bytes(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload))
    (tmp_path / "sig").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    words = [
        "openssl",
        "pkeyutl",
        "-verify",
        "-pubin",
        "-inkey",
        "mine.pub.pem",
        "-rawin",
        "-in",
        "signed",
        "-sigfile",
        "sig",
    ]
    try:
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False)
    except FileNotFoundError:
        pytest.skip("needs openssl")
    assert "Verified Successfully" in done.stdout, done.stderr


def _envelope(store: Store, digest: str) -> dict[str, Any]:
    (referrer,) = referrers(store, digest)
    layer = store.read_json(referrer)["layers"][0]
    return dict(json.loads(store.path(layer["digest"]).read_bytes()))


def _attach(store: Store, subject: str, envelope: dict[str, Any]) -> None:
    """A referrer as `sign` writes it, around an envelope of somebody's."""
    (referrer,) = referrers(store, subject)
    tree = store.read_json(referrer)
    tree["layers"] = [store.add(canonical_json(envelope), tree["layers"][0]["mediaType"]).to_json()]
    store.unname(subject.replace(":", "-"))
    attach(store, subject, store.add(canonical_json(tree), referrer.media_type))


def test_a_statement_that_was_changed(said: Said, image: Image, own: Store) -> None:
    said("sign", "s:1", "--key", "mine.pem")
    envelope = _envelope(own, image.descriptor.digest)
    payload = base64.b64decode(envelope["payload"]).replace(b"thing-1.0", b"thing-6.6")
    _attach(own, image.descriptor.digest, {**envelope, "payload": base64.b64encode(payload).decode()})
    code, out = said("verify", "s:1", "--key", "mine.pub.pem")
    assert code == 4 and "the signature does not hold" in out
    _attach(own, image.descriptor.digest, {"payload": 1})
    code, out = said("verify", "s:1", "--key", "mine.pub.pem")
    assert code == 4 and "not a DSSE envelope" in out


def test_the_signature_of_another_image(said: Said, image: Image, own: Store, tmp_path: Path) -> None:
    package(tmp_path / "p")
    assert said("sign", "p", "--key", "mine.pem")[0] == said("sign", "s:1", "--key", "mine.pem")[0] == 0
    subject = json.loads(said("sign", "p", "--key", "mine.pem", "--json")[1])["signed"][0]["subject"]
    _attach(own, image.descriptor.digest, _envelope(own, subject))
    code, out = said("verify", "s:1", "--key", "mine.pub.pem")
    assert code == 4 and f"not about {image.descriptor.digest}" in out


def test_an_index_and_each_of_its_images(said: Said, image: Image, own: Store) -> None:
    own.name("both:1", write_index(own, (image,), {}))
    signed = json.loads(said("sign", "both:1", "--key", "mine.pem", "--json")[1])["signed"]
    assert signed[0]["subject"] == image.descriptor.digest and len(signed) == 2
    for ref in ("both:1", "s:1"):
        assert said("verify", ref, "--key", "mine.pub.pem")[0] == 0


@pytest.mark.parametrize("part", ["layer", "config"])
def test_a_blob_that_is_damaged(said: Said, image: Image, own: Store, tmp_path: Path, part: str) -> None:
    write_layout(own, image.descriptor, "s:1", tmp_path / "layout", False)
    assert said("verify", "layout")[0] == 0
    damaged = image.layers[-1].digest if part == "layer" else image.id
    for root in (own.root, tmp_path / "layout"):
        path = Store(root).path(damaged)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.unlink()
        path.write_bytes(data)
    for ref in ("s:1", "layout"):
        code, out = said("verify", ref)
        assert code == 4, out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["sign", "s:1", "--key", "none.pem"], 2, "none.pem: cannot be read"),
        (["sign", "s:1", "--key", "mine.pub.pem"], 2, "not a private key"),
        (["sign", "x:1", "--key", "mine.pem"], 3, "x:1: no such name"),
        (["verify", "s:1", "--key", "s.txt"], 2, "not a public key"),
        (["verify", "sha256:" + "0" * 64], 3, "neither an image nor an image ID"),
        (["keys", "signing"], 2, "-o FILE.pem"),
        (["keys", "signing", "-o", "mine.pem"], 2, "exists"),
    ],
)
def test_mistakes(said: Said, tmp_path: Path, words: list[str], code: int, message: str) -> None:
    (tmp_path / "s.txt").write_text("no key")
    found, out = said(*words)
    assert found == code and message in out


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
def test_a_private_key_that_others_may_read(own: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "signing", "-o", "mine.pem"]) == 0
    for mode, warned in ((0o600, False), (0o640, True), (0o604, True)):
        Path("mine.pem").chmod(mode)
        assert main(["sign", "s:1", "--key", "mine.pem"]) == 0
        assert ("mine.pem: others here may read it" in capsys.readouterr().err) == warned


def test_a_package_of_another_registry(said: Said, tmp_path: Path) -> None:
    with Registry.open(tmp_path / "r") as registry:
        registry.register(package(tmp_path / "p"))
        ref = f"registry://{registry.list()[0].id}"
    words = ref, "--registry", str(tmp_path / "r")
    assert said("sign", ref, "--key", "mine.pem")[0] == 3
    assert said("sign", *words, "--key", "mine.pem")[0] == 0
    assert said("verify", *words, "--key", "mine.pub.pem")[0] == 0
    code, out = said("verify", *words, "--key", "other.pub.pem")
    assert code == 4 and f"error: {ref}: signature" in out, "by the name that was typed"
