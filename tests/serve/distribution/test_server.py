"""The process: with clients that others have written, through a crash, and beside the user's own store."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from gantline.builders.image.entry import of_bytes
from gantline.builders.image.layer import write_layer

from gantline.cli import main
from gantline.oci.image import Image, write_manifest
from gantline.oci.store import Store
from gantline.oci.upload import CHUNK
from gantline.registry.registry import Registry
from tests.oci.test_docker_registry import gigabyte, push_cut

from .conftest import Serve

__all__ = ["gigabyte"]  # a fixture


def image(store: Store, name: str, size: int = 3_000_000) -> str:
    layer = write_layer(store, [of_bytes("data", os.urandom(size))], "data")
    config = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]}}
    made = write_manifest(store, config, (layer.descriptor,), {})
    store.name(name, made.descriptor)
    return made.descriptor.digest


def gantline(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    own = os.environ | {"GANTLINE_HOME": str(home)}
    command = [sys.executable, "-m", "gantline", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=own, timeout=120)


def test_our_own_push_and_pull(distribute: Serve, tmp_path: Path) -> None:
    digest = image(Store(tmp_path / "one" / "store").prepared(), "iris:1")
    with distribute() as server:
        pushed = gantline(tmp_path / "one", "push", "iris:1", f"{server.host}/team/iris:1", "--json")
        assert pushed.returncode == 0, pushed.stdout + pushed.stderr
        assert server.store.names()["team/iris:1"].digest == digest
        pulled = gantline(tmp_path / "two", "pull", f"{server.host}/team/iris:1", "--json")
        assert pulled.returncode == 0, pulled.stdout + pulled.stderr
    assert digest in {d.digest for d in Store(tmp_path / "two" / "store").names().values()}


def test_the_blobs_of_a_registry_that_keeps_them_elsewhere(
    distribute: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Registry.open(tmp_path / "registry") as registry:
        registry.make(str(tmp_path / "blobs"))
    with distribute(folder=tmp_path / "registry") as server:
        assert server.store.root == tmp_path / "blobs"
    with Registry.open(tmp_path / "away") as registry:
        registry.make("memory://x")
    assert main(["registry", "serve", "--registry", str(tmp_path / "away")]) == 2
    assert "its blobs are at memory://x; those in a directory can be served" in capsys.readouterr().err


def test_an_upload_goes_on_after_a_crash(distribute: Serve, tmp_path: Path) -> None:
    data = os.urandom(200_000)
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    where = ""
    with pytest.raises(AssertionError), distribute(folder=tmp_path) as server:  # it does not end with 0
        where = server.ask("POST", "/v2/a/blobs/uploads/").headers["location"]
        assert server.ask("PATCH", where, data[:150_000]).status == 202
        os.kill(server.process, signal.SIGKILL)
    with distribute(folder=tmp_path) as server:
        assert server.ask("GET", where).headers["range"] == "0-149999"
        assert server.ask("PATCH", where, data[150_000:], {"Content-Range": "150000-199999"}).status == 202
        assert server.ask("PUT", f"{where}?digest={digest}").status == 201
        assert server.ask("GET", f"/v2/a/blobs/{digest}").body == data


def test_a_cut_body_keeps_what_came(distribute: Serve) -> None:
    with distribute() as server:
        where = server.ask("POST", "/v2/a/blobs/uploads/").headers["location"]
        connection = http.client.HTTPConnection(server.host)
        connection.putrequest("PATCH", where)
        connection.putheader("Content-Length", "1000")
        connection.endheaders(b"x" * 400)
        connection.close()
        size = 0
        while size != 400:
            size = int(server.ask("GET", where).headers["range"].partition("-")[2]) + 1
        assert server.ask("PATCH", where, b"y" * 600, {"Content-Range": "400-999"}).headers["range"] == "0-999"


def test_it_finishes_what_it_has_begun(distribute: Serve) -> None:
    """A stop in the middle of an upload: the answer comes, then the end."""
    with distribute() as server:
        connection = http.client.HTTPConnection(server.host)
        connection.putrequest("POST", f"/v2/a/blobs/uploads/?digest=sha256:{hashlib.sha256(b'x' * 1000).hexdigest()}")
        connection.putheader("Content-Length", "1000")
        connection.endheaders(b"x" * 400)
        assert server.ask("GET", "/v2/").status == 200
        os.kill(server.process, signal.SIGTERM)
        connection.send(b"x" * 600)
        assert connection.getresponse().status == 201
        connection.close()


@pytest.mark.slow
def test_a_gigabyte_cut_in_the_middle_of_a_chunk(distribute: Serve, gigabyte: tuple[Store, Image]) -> None:
    """Counted on the way to the server: what it has got of the chunk that was cut is not sent again either."""
    size = gigabyte[1].layers[0].size
    with distribute() as server:
        port = int(server.host.rpartition(":")[2])
        done, wire = push_cut(port, [size // 3 + 54321, size // 2 + 12345], gigabyte)
        assert server.store.path(gigabyte[1].layers[0].digest).stat().st_size == size
    assert size < wire <= size + (1 << 20) and done.wire <= size + 2 * CHUNK


@pytest.mark.container
def test_clients_of_others(distribute: Serve, tmp_path: Path) -> None:
    if not shutil.which("skopeo"):
        pytest.skip("needs skopeo: apt-get install skopeo")
    digest = image(Store(tmp_path / "one" / "store").prepared(), "iris:1")
    (tmp_path / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')

    def skopeo(*words: str) -> str:
        command = ["skopeo", "--policy", str(tmp_path / "policy.json"), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    with distribute() as server:
        there = f"docker://{server.host}/team/iris:1"
        skopeo("copy", "--dest-tls-verify=false", f"oci:{tmp_path}/one/store:iris:1", there)
        assert server.store.names()["team/iris:1"].digest == digest
        told = json.loads(skopeo("inspect", "--tls-verify=false", there))
        assert told["Digest"] == digest and told["RepoTags"] == ["1"]
        skopeo("copy", "--src-tls-verify=false", there, f"oci:{tmp_path}/back:iris:1")
        assert Store(tmp_path / "back").names()["iris:1"].digest == digest
