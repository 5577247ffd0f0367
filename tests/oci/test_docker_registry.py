"""Against Debian's docker-registry, with and without TLS and passwords; with skopeo and podman as the other side."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from gantline.errors import Denied, Unreachable
from gantline.oci.archive import write_archive, write_layout
from gantline.oci.credentials import Credentials
from gantline.oci.descriptor import LAYER, Descriptor
from gantline.oci.image import Image, write_index, write_manifest
from gantline.oci.patience import Patience
from gantline.oci.platforms import Platform
from gantline.oci.progress import Step
from gantline.oci.pull import pull
from gantline.oci.push import Pushed, push
from gantline.oci.reading import only, read
from gantline.oci.reference import Reference
from gantline.oci.referrers import referrers
from gantline.oci.remote import Remote
from gantline.oci.store import Store
from gantline.oci.transport import Transport
from gantline.oci.upload import CHUNK
from gantline.oci.wiring import Wiring
from tests.oci.conftest import MakeImage
from tests.oci.faulty_registry import Registry
from tests.oci.scissors import Scissors
from tests.oci.test_push import about

pytestmark = [
    pytest.mark.container,
    pytest.mark.skipif(
        not all(map(shutil.which, ("docker-registry", "skopeo", "podman", "htpasswd", "openssl"))),
        reason="docker-registry, skopeo, podman, htpasswd or openssl is absent",
    ),
]
QUICK = Patience(tries=5, first_s=0.05, longest_s=0.2)


@dataclass
class Server:
    """A docker-registry that runs."""

    host: str
    folder: Path
    ca: str = ""
    user: str = ""
    password: str = ""

    @property
    def wiring(self) -> Wiring:
        return Wiring(ca_file=self.ca)

    def credentials(self, folder: Path, password: str = "") -> Credentials:
        """As `docker login` keeps them."""
        secret = base64.b64encode(f"{self.user}:{password or self.password}".encode()).decode()
        folder.mkdir(exist_ok=True)
        auths = {self.host: {"auth": secret}} if self.user else {}
        (folder / "config.json").write_text(json.dumps({"auths": auths}))
        return Credentials({"DOCKER_CONFIG": str(folder), "HOME": str(folder)})

    def reference(self, to: str) -> Reference:
        return Reference.parse(f"oci://{self.host}/{to}")


@contextmanager
def docker_registry(folder: Path, port: int, guarded: bool) -> Iterator[Server]:
    folder.mkdir()
    server = Server(f"127.0.0.1:{port}", folder)
    lines = [
        "version: 0.1", "log: {level: error, accesslog: {disabled: true}}",
        f"storage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}", "http:",
        f"  addr: {server.host}",
    ]  # fmt: skip
    if guarded:
        server.user, server.password, server.ca = "ann", "s3cret", str(folder / "ca.crt")
        make_certificates(folder)
        hashed = run("htpasswd", "-Bbn", server.user, server.password)
        (folder / "htpasswd").write_text(hashed)
        lines += [
            f"  tls: {{certificate: {folder}/server.crt, key: {folder}/server.key}}",
            f"auth: {{htpasswd: {{realm: here, path: {folder}/htpasswd}}}}",
        ]
    (folder / "config.yml").write_text("\n".join(lines) + "\n")
    with (folder / "log").open("w") as log, subprocess.Popen(
        ["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=log
    ) as process:  # fmt: skip
        try:
            for _ in range(200):
                with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.02)  # nothing tells when it listens but trying
            yield server
        finally:
            process.kill()


def make_certificates(folder: Path) -> None:
    """A CA of our own, and a certificate of it for 127.0.0.1."""
    extensions = folder / "extensions"
    extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=our ca",
        "-keyout", folder / "ca.key", "-out", folder / "ca.crt")  # fmt: skip
    run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=registry",
        "-keyout", folder / "server.key", "-out", folder / "server.csr")  # fmt: skip
    run("openssl", "x509", "-req", "-days", "2", "-in", folder / "server.csr", "-CA", folder / "ca.crt",
        "-CAkey", folder / "ca.key", "-CAcreateserial", "-out", folder / "server.crt",
        "-extfile", extensions)  # fmt: skip


def run(*words: object, **variables: str) -> str:
    done = subprocess.run(
        list(map(str, words)), capture_output=True, text=True, env={**os.environ, **variables}, timeout=120, check=False
    )
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


@pytest.fixture(scope="module", params=["open", "guarded"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]
) -> Iterator[Server]:
    with docker_registry(tmp_path_factory.mktemp("r") / "r", free_port(), request.param == "guarded") as running:
        yield running


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[Server]:
    with docker_registry(tmp_path_factory.mktemp("p") / "p", free_port(), False) as running:
        yield running


@contextmanager
def remote_of(server: Server, to: str, folder: Path) -> Iterator[tuple[Remote, Reference]]:
    reference = server.reference(to)
    credentials = server.credentials(folder / "docker")
    with Transport(server.host, server.host, server.wiring, credentials, QUICK) as transport:
        yield Remote.of(transport, reference), reference


def skopeo(server: Server, folder: Path, *words: object) -> str:
    """skopeo, which trusts the same CA and is the same user."""
    certificates = folder / "certs"
    certificates.mkdir(exist_ok=True)
    if server.ca:
        shutil.copy(server.ca, certificates / "ca.crt")
    server.credentials(folder / "docker")
    flags = [w for side in ("src", "dest") for w in (f"--{side}-tls-verify={str(bool(server.ca)).lower()}",)]
    flags += [f"--{side}-cert-dir={certificates}" for side in ("src", "dest")]
    return run("skopeo", "--insecure-policy", "copy", *flags, f"--authfile={folder}/docker/config.json", *words)


def test_there_and_back(server: Server, store: Store, mine: Store, make_image: MakeImage, tmp_path: Path) -> None:
    images = make_image("linux/amd64", b"a", os.urandom(3_000_000)), make_image("linux/arm64", b"b")
    index = write_index(store, images, {})
    signed = about(store, images[0], "signed")
    with remote_of(server, "team/iris:1", tmp_path) as (remote, reference):
        first = push(store, index, remote, reference, chunk=1 << 20)
        assert first.wire == sum(b.size for i in images for b in (i.config_descriptor, *i.layers)) + 2 + len("signed")
        again = push(store, index, remote, reference)
        assert (again.new, again.wire) == (0, 0)
        done = pull(remote, reference, mine)
        assert (done.descriptor.digest, done.referrers) == (index.digest, 1)
        assert [d.digest for d in referrers(mine, images[0].descriptor.digest)] == [signed.digest]
        assert "1" in remote.tags()
    with remote_of(server, "other/iris:1", tmp_path) as (remote, reference):
        mounted = push(store, images[0].descriptor, remote, reference)
        assert mounted.wire == 0 and mounted.mounted == sum(
            b.size for b in (images[0].config_descriptor, *images[0].layers, *two_blobs(store, signed))
        )


def two_blobs(store: Store, referrer: Descriptor) -> list[Descriptor]:
    tree = store.read_json(referrer)
    return [Descriptor.from_json(tree["config"], ""), Descriptor.from_json(tree["layers"][0], "")]


def test_skopeo_reads_what_we_pushed(server: Server, store: Store, make_image: MakeImage, tmp_path: Path) -> None:
    image = make_image("linux/amd64", b"a", b"b")
    with remote_of(server, "ours:1", tmp_path) as (remote, reference):
        push(store, image.descriptor, remote, reference)
    skopeo(server, tmp_path, "--preserve-digests", f"docker://{server.host}/ours:1", f"oci:{tmp_path}/layout:x")
    index = json.loads((tmp_path / "layout" / "index.json").read_bytes())
    assert [m["digest"] for m in index["manifests"]] == [image.descriptor.digest]


def test_podman_pulls_what_we_pushed(server: Server, store: Store, make_image: MakeImage, tmp_path: Path) -> None:
    image = make_image("linux/amd64", b"a", b"b")
    with remote_of(server, "ours:2", tmp_path) as (remote, reference):
        push(store, image.descriptor, remote, reference)
    certificates = tmp_path / "certs"
    certificates.mkdir()
    if server.ca:
        shutil.copy(server.ca, certificates / "ca.crt")
    with podman(tmp_path) as start:
        words = [*start, "pull", f"--tls-verify={str(bool(server.ca)).lower()}", f"--cert-dir={certificates}"]
        pulled = run(*words, f"--authfile={tmp_path}/docker/config.json", f"{server.host}/ours:2")
    assert f"sha256:{pulled.strip()}" == image.id


@contextmanager
def podman(folder: Path) -> Iterator[list[object]]:
    """The beginning of a command line, with a storage of its own."""
    with tempfile.TemporaryDirectory(prefix="pm", dir="/tmp") as short:  # podman takes no long --runroot
        apart = ["--root", folder / "root", "--runroot", f"{short}/run", "--tmpdir", f"{short}/tmp"]
        yield ["podman", *apart, "--storage-driver", "vfs"]


@pytest.mark.parametrize("form", ["oci", "v2s2"])
def test_we_read_what_skopeo_pushed(
    server: Server, store: Store, mine: Store, make_image: MakeImage, tmp_path: Path, form: str
) -> None:
    image = make_image("linux/amd64", b"a", b"b")
    write_layout(store, image.descriptor, "x", tmp_path / "layout")
    skopeo(server, tmp_path, "--format", form, f"oci:{tmp_path}/layout:x", f"docker://{server.host}/theirs:{form}")
    with remote_of(server, f"theirs:{form}", tmp_path) as (remote, reference):
        done = pull(remote, reference, mine, Platform.parse("linux/amd64"))
    assert Image.open(mine, done.descriptor).diff_ids == image.diff_ids


def test_a_wrong_password(server: Server, store: Store, make_image: MakeImage, tmp_path: Path) -> None:
    if not server.user:
        pytest.skip("this one asks for none")
    reference = server.reference("x:1")
    for password, words in (("wrong", "as 'ann'"), ("", "nothing here says who you are")):
        credentials = server.credentials(tmp_path / "docker", password) if password else Credentials({"HOME": "/none"})
        with (
            Transport(server.host, server.host, server.wiring, credentials, QUICK) as transport,
            pytest.raises(Denied, match=f"not authorized.*{words}.*docker login {server.host}"),
        ):
            push(store, make_image().descriptor, Remote.of(transport, reference), reference)


def test_a_certificate_that_nobody_knows(server: Server, tmp_path: Path) -> None:
    if not server.ca:
        pytest.skip("this one has none")
    with (
        Transport(server.host, server.host, None, Credentials({"HOME": "/none"}), QUICK) as transport,
        pytest.raises(Unreachable, match=r"its certificate is not trusted.*--ca-file"),
    ):
        Remote(transport, "x").tags()


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_we_read_what_podman_saves(store: Store, mine: Store, make_image: MakeImage, tmp_path: Path, form: str) -> None:
    image = make_image("linux/amd64", b"a", b"b")
    write_archive(store, image.descriptor, "localhost/iris:1", tmp_path / "ours.tar")
    with podman(tmp_path) as start:
        run(*start, "load", "-i", tmp_path / "ours.tar")
        run(*start, "save", "--format", form, "-o", tmp_path / "theirs.tar", "localhost/iris:1")
    found = only(read(tmp_path / "theirs.tar", mine), tmp_path / "theirs.tar")
    assert found.names == ("localhost/iris:1",)
    assert Image.open(mine, found.descriptor).diff_ids == image.diff_ids
    assert Image.open(mine, found.descriptor).settings["Env"] == ["A=b"]


@pytest.fixture(scope="module")
def gigabyte(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Image]]:
    """An image with a layer of 1 GB that is no two times the same."""
    folder = tmp_path_factory.mktemp("gigabyte")
    store = Store(folder / "store").prepared()
    with store.receive() as out:
        for _ in range(64):
            out.write(os.urandom(1 << 24))
    layer = Descriptor(LAYER, out.digest, out.size)
    config = {**Platform.parse("linux/amd64").to_json(), "rootfs": {"type": "layers", "diff_ids": [layer.digest]}}
    yield store, write_manifest(store, config, (layer,), {})
    shutil.rmtree(folder)


def push_cut(port: int, marks: list[int], gigabyte: tuple[Store, Image]) -> tuple[Pushed, int]:
    """Push through scissors; what it did, and the bytes that went by."""
    scissors = Scissors(port, marks)
    store, image = gigabyte
    with scissors.serving() as at:
        reference = Reference.parse(f"oci://127.0.0.1:{at}/big:1")
        with Transport(reference.host, reference.host, Wiring(plain_http=True), None, QUICK) as transport:
            done = push(store, image.descriptor, Remote.of(transport, reference), reference)
    assert scissors.marks == []
    return done, scissors.counted


def test_a_gigabyte_cut_in_the_middle_of_a_chunk(gigabyte: tuple[Store, Image]) -> None:
    """Counted at the server, by its own count and on the wire: one chunk at most is sent again."""
    size = gigabyte[1].layers[0].size
    with Registry().serving() as registry:
        done, wire = push_cut(int(registry.host.rpartition(":")[2]), [size // 2 + 12345], gigabyte)
        blobs = size + gigabyte[1].config_descriptor.size
        assert registry.received == blobs  # it keeps what came of a cut chunk, and that is not sent again
        assert done.wire <= blobs + CHUNK and wire <= blobs + CHUNK + 200_000


def test_docker_registry_goes_on_after_a_cut_between_chunks(
    plain: Server, store: Store, make_image: MakeImage, mine: Store
) -> None:
    """What it has acknowledged is not sent again: each connection ends after a chunk, as behind an impatient proxy."""
    image = make_image("linux/amd64", b"x", os.urandom(6 << 20))
    scissors = Scissors(int(plain.host.rpartition(":")[2]))
    with scissors.serving() as at:
        reference = Reference.parse(f"oci://127.0.0.1:{at}/cut:1")
        with Transport(reference.host, reference.host, Wiring(plain_http=True), None, QUICK) as transport:
            remote = Remote.of(transport, reference)

            def told(step: Step) -> None:
                if step.at and step.at % (1 << 20) == 0 and step.digest == image.layers[1].digest:
                    scissors.when_answered = True

            done = push(store, image.descriptor, remote, reference, told, jobs=1, chunk=1 << 20)
    blobs = image.config_descriptor.size + sum(layer.size for layer in image.layers)
    assert scissors.cuts >= 5 and done.wire <= blobs + scissors.cuts * (1 << 20)
    assert scissors.counted < blobs + 50_000  # what reached the server: each byte once, and the heads of requests


def test_docker_registry_forgets_what_is_cut_inside_a_chunk(
    plain: Server, gigabyte: tuple[Store, Image], mine: Store
) -> None:
    """It cancels an upload that is longer than its token says, so this blob begins anew; and arrives."""
    size = gigabyte[1].layers[0].size
    done, _ = push_cut(int(plain.host.rpartition(":")[2]), [size // 2 + 12345], gigabyte)
    assert done.wire < 2 * size
    with urllib.request.urlopen(f"http://{plain.host}/v2/big/tags/list") as found:
        assert json.load(found)["tags"] == ["1"]
    reference = plain.reference("big:1")
    with Transport(plain.host, plain.host, None, None, QUICK) as transport:
        pulled = pull(Remote.of(transport, reference), reference, mine)
    assert pulled.descriptor.digest == gigabyte[1].descriptor.digest
