"""Signatures on their way: made by a build, pushed over TLS, pulled by others, in archives; and changed there."""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gantline.cli import main
from gantline.oci.archive import write_archive
from gantline.oci.image import Image
from gantline.oci.referrers import referrers
from gantline.oci.store import Store
from tests.oci.faulty_registry import Registry, digest_of

from .conftest import package
from .test_signature import Said, own, said

__all__ = ["own", "said"]  # fixtures


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for this machine that signs itself, with its key beside it in `key.pem`."""
    folder = tmp_path_factory.mktemp("tls")
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    words += ["-subj", "/CN=registry", "-addext", "subjectAltName=IP:127.0.0.1"]
    try:
        subprocess.run(
            [*words, "-keyout", folder / "key.pem", "-out", folder / "cert.pem"], capture_output=True, check=True
        )
    except FileNotFoundError:
        pytest.skip("needs openssl")
    return folder / "cert.pem"


@pytest.fixture
def registry(certificate: Path) -> Iterator[Registry]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    with Registry().serving(context) as running:
        yield running


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Store]:
    """Be somebody whose store is empty from then on."""

    def move() -> Store:
        home = tmp_path / f"home-{len(list(tmp_path.glob('home-*')))}"
        monkeypatch.setenv("GANTLINE_HOME", str(home))
        return Store(home / "store").prepared()

    return move


@pytest.mark.slow
def test_built_pushed_pulled_and_verified_elsewhere(
    said: Said,
    wheels: Path,
    rootfs: Path,
    tmp_path: Path,
    registry: Registry,
    certificate: Path,
    elsewhere: Callable[[], Store],
) -> None:
    package(tmp_path / "s.pkg")
    ref, trust = f"oci://{registry.host}/team/s:1", ("--ca-file", str(certificate))
    words = ["build", "s.pkg", "--base", str(rootfs), "--platform", "linux/amd64", "--tag", "s:1", "--no-record"]
    words += ["--no-index", "--find-links", str(wheels), "--sign", "mine.pem", "-o", "s.tar", "--push", ref]
    code, out = said(*words, "--json", *trust)
    assert code == 0, out
    elsewhere()
    code, out = said("verify", ref)
    assert code == 6 and "its certificate is not trusted" in out
    code, out = said("verify", ref, "--key", "mine.pub.pem", *trust)
    assert code == 0 and "signed by" in out
    assert said("verify", ref, "--key", "other.pub.pem", *trust)[0] == 4
    for verb in (["diff", ref], ["explain", "opt/gantline/lib/gantline/errors.py"], ["sign", "--key", "other.pem"]):
        assert said(verb[0], ref, *verb[1:], *trust)[0] == 0
    assert said("rebuild", ref, "--no-index", "--find-links", str(wheels), "--tag", "s:again", *trust)[0] == 0
    assert said("verify", "s:again", "--key", "mine.pub.pem")[0] == 0
    elsewhere()
    assert said("verify", "s.tar", "--key", "mine.pub.pem")[0] == 0, "an archive carries it"
    assert said("pull", ref, "-o", "pulled.tar", *trust)[0] == 0
    elsewhere()
    assert said("verify", "pulled.tar", "--key", "mine.pub.pem")[0] == 0
    assert said("verify", "pulled.tar", "--key", "other.pub.pem")[0] == 4


def test_one_that_was_changed_in_the_registry(
    said: Said, image: Image, own: Store, registry: Registry, certificate: Path, elsewhere: Callable[[], Store]
) -> None:
    ref, trust = f"oci://{registry.host}/team/s:1", ("--ca-file", str(certificate))
    assert said("sign", "s:1", "--key", "mine.pem")[0] == said("push", "s:1", ref, *trust)[0] == 0
    (key,) = [key for key, (_, data) in registry.manifests.items() if b"in-toto" in data and b'"subject"' in data]
    kind, data = registry.manifests.pop(key)
    tree = json.loads(data)
    envelope = json.loads(registry.blobs[key[0], tree["layers"][0]["digest"]])
    envelope["signatures"][0]["sig"] = "A" * 86 + "=="
    changed = json.dumps(envelope).encode()
    tree["layers"][0] |= {"digest": digest_of(changed), "size": len(changed)}
    data = json.dumps(tree).encode()
    registry.blobs[key[0], digest_of(changed)] = changed
    registry.manifests[key[0], digest_of(data)] = kind, data
    store = elsewhere()
    code, out = said("verify", ref, "--key", "mine.pub.pem", *trust)
    assert code == 4 and "the signature does not hold" in out
    assert len(referrers(store, image.descriptor.digest)) == 1


def test_an_archive_of_a_signed_image_is_that_image(
    said: Said, image: Image, own: Store, tmp_path: Path, elsewhere: Callable[[], Store]
) -> None:
    write_archive(own, image.descriptor, "s:1", tmp_path / "unsigned.tar")
    assert said("sign", "s:1", "--key", "mine.pem")[0] == 0
    assert said("verify", "unsigned.tar", "--key", "mine.pub.pem")[0] == 0, "this store has what it lacks"
    write_archive(own, image.descriptor, "s:1", tmp_path / "by-me.tar")
    assert said("sign", "by-me.tar", "--key", "other.pem")[0] == 0
    assert said("verify", "by-me.tar", "--key", "other.pub.pem")[0] == 0, "this store has the second one"
    write_archive(own, image.descriptor, "s:1", tmp_path / "signed.tar")
    elsewhere()
    assert said("verify", "unsigned.tar", "--key", "mine.pub.pem")[0] == 4
    for key in ("mine.pub.pem", "other.pub.pem"):
        assert said("verify", "signed.tar", "--key", key)[0] == 0
    assert main(["diff", "unsigned.tar", "signed.tar"]) == 0
