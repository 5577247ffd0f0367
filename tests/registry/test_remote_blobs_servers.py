"""Blobs on a server of S3's API (moto) and one of Azure Blob's (Azurite), through the libraries that people use."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from gantline.manifest import Manifest
from gantline.packages import seal

pytestmark = [pytest.mark.oracle, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="  # Azurite's, for all
TALK = """
import io, json, sys, tempfile
from pathlib import Path
import fsspec
from gantline.blobs import sha256_file
from gantline.errors import GantlineError
from gantline.packages import Package
from gantline.registry import checkout
from gantline.registry.registry import Registry

where, url, package, other = sys.argv[1:]
bucket = url.split("://")[1].split("/")[0]
fs = fsspec.filesystem(url.split("://")[0])
fs.mkdir(bucket)

def told(call):
    try:
        return repr(call())
    except GantlineError as e:
        return f"{type(e).__name__}: {e.message}"

out = {}
with Registry.open(where) as registry:
    registry.make(url)
    version = registry.register(package, alias="champion")
    out["again"] = registry.register(package).version
    out["blobs"] = sorted(b.size for b in registry.blobs.blobs())
    out["dated"] = all(b.modified for b in registry.blobs.blobs())
    out["files"] = registry.package("iris@champion").verify_files()
    out["kept"] = len(registry.collect("0 seconds").blobs)
    # what somebody damages there is seen
    registry.register(other)
    big = Package.open(other).manifest.files[-1]
    key = f"{url.split('://')[1]}/blobs/sha256/{big.digest[7:]}"
    fs.pipe(key, b"x" * big.size)
    out["damaged"] = told(lambda: registry.path("iris:2"))
    fs.rm_file(key)
    out["lost"] = told(lambda: registry.path("iris:2"))
    out["again whole"] = [registry.register(other).version, registry.package("iris:2").verify_files()]
    registry.remove("iris:2")
    checkout.let_go(Package.open(other).digest)
    out["collected"] = len(registry.collect("0 seconds").blobs)
    out["left"] = len(list(registry.blobs.blobs()))

    # somebody else brings a blob while this one sends it, and then this one's disk fails
    path = Path(other) / "weights.bin"
    digest, size = sha256_file(path), path.stat().st_size
    class Failing(type(path)):
        opened = 0
        def open(self, *words, **more):
            file = super().open(*words, **more)
            Failing.opened += 1
            if Failing.opened != 2:  # the first looks whether it is the blob, the second sends it
                return file
            class Torn(io.RawIOBase):
                def read(self, count=-1):
                    if file.tell():
                        registry.blobs.put(digest, size, path)
                        raise OSError(5, "torn")
                    return file.read(count)
            return Torn()
    out["torn"] = told(lambda: registry.blobs.put(digest, size, Failing(path)))
    out["theirs"] = registry.blobs.has(digest, size)

    # what is sent in part is not there, and what a killed sender left of it goes when it is old
    unfinished = fs.open(f"{url}/blobs/sha256/{'0' * 64}", "wb", block_size=5 << 20)
    unfinished.write(b"x" * (11 << 20))
    uploads = getattr(fs, "list_multipart_uploads", lambda bucket: [])
    out["uploads"] = [len(uploads(bucket))]
    for before in (0, 10**18):
        registry.blobs.sweep(before)
        out["uploads"].append(len(uploads(bucket)))
    unfinished.closed = True
    out["seen"] = len(list(registry.blobs.blobs()))
print(json.dumps(out))
"""
REFUSED = """
import json, sys
from gantline.errors import GantlineError
from gantline.registry.registry import Registry
try:
    with Registry.open(sys.argv[1]) as registry:
        registry.register(sys.argv[2], new_version=True)
        print("registered")
except GantlineError as e:
    print(type(e).__name__, e.message)
    with Registry.open(sys.argv[1]) as registry:
        print(len(registry.list()))
"""


@pytest.fixture(scope="module")
def rivals() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rivals", ROOT / "scripts" / "rivals.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def python(rivals: ModuleType) -> Path:
    return Path(rivals.ensure("blob-stores"))


@pytest.fixture
def packages(tmp_path: Path) -> tuple[Path, Path]:
    """One of the size of S3's smallest parts and more, and one that differs."""
    out = []
    for i in range(2):
        root = tmp_path / f"p{i}"
        root.mkdir()
        (root / "weights.bin").write_bytes(bytes([i]) + os.urandom(12 << 20))
        (root / "empty").write_bytes(b"")
        seal(root, Manifest("iris", "null"), {})
        out.append(root)
    return out[0], out[1]


@contextmanager
def running(words: list[str], url: str, log: Path) -> Iterator[None]:
    with log.open("w") as out, subprocess.Popen(words, stdout=out, stderr=out, cwd=log.parent) as process:
        try:
            end = time.monotonic() + 120
            while time.monotonic() < end and process.poll() is None:
                try:
                    with urlopen(url, timeout=5):
                        break
                except HTTPError as e:  # it answers
                    e.close()
                    break
                except OSError:
                    pass
                threading.Event().wait(0.1)
            else:
                pytest.fail(log.read_text())
            yield
        finally:
            process.kill()


def typed(python: Path, code: str, variables: dict[str, str], *words: object) -> str:
    """What a script prints in the environment that has the stores' libraries, with our source beside them."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "AZURE_", "GANTLINE_REG", "FSSPEC_"))}
    environment = {**clean, **variables, "PYTHONPATH": str(ROOT / "typings"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [str(python), "-c", code, *map(str, words)]
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def check(out: dict[str, Any], uploads: int) -> None:
    assert out["again"] == 1 and out["files"] == 2 and out["kept"] == 0 and out["dated"] is True
    assert out["blobs"][0] == 0 and out["blobs"][-1] == (12 << 20) + 1 and len(out["blobs"]) == 3
    assert out["damaged"].startswith("VerificationFailed") and "not the bytes that its name says" in out["damaged"]
    assert out["lost"].startswith("NotFound") and "register its package again" in out["lost"]
    assert out["again whole"] == [2, 2] and (out["collected"], out["left"]) == (2, 3)
    assert out["torn"] == "None" and out["theirs"] is True  # it is there, which is all that was asked
    assert out["uploads"] == [uploads, uploads, 0] and out["seen"] == 4


def test_s3(python: Path, packages: tuple[Path, Path], tmp_path: Path, free_port: Callable[[], int]) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    variables = {
        "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "2",
    }  # fmt: skip
    words = [str(python), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with running(words, url, tmp_path / "log"):
        check(json.loads(typed(python, TALK, variables, tmp_path / "r", "s3://models/team", *packages)), 1)
    refused = typed(python, REFUSED, variables, tmp_path / "r", packages[0])
    assert refused.startswith("Unreachable blobs s3://models/team: ") and refused.splitlines()[1:] == ["1"]


def test_azure_blob(
    python: Path, rivals: ModuleType, packages: tuple[Path, Path], tmp_path: Path, free_port: Callable[[], int]
) -> None:
    port, program = free_port(), rivals.program("azurite")
    url = f"http://127.0.0.1:{port}/devstoreaccount1"
    said = f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={KEY};BlobEndpoint={url};"
    words = ["node", str(program), "--silent", "--disableTelemetry", "--skipApiVersionCheck", "--inMemoryPersistence"]
    words = [*words, "--blobPort", str(port), "--blobHost", "127.0.0.1", "--queuePort", "0", "--tablePort", "0"]
    variables = {"AZURE_STORAGE_CONNECTION_STRING": said}
    with running(words, url, tmp_path / "log"):
        check(json.loads(typed(python, TALK, variables, tmp_path / "r", "abfs://models/team", *packages)), 0)
        wrong = {"AZURE_STORAGE_CONNECTION_STRING": said.replace(KEY, "c2VjcmV0")}
        refused = typed(python, REFUSED, wrong, tmp_path / "r", packages[0])
        assert refused.splitlines()[1:] == ["1"] and "and the credentials" in refused, refused
    refused = typed(python, REFUSED, {}, tmp_path / "r", packages[0])
    assert refused.splitlines()[1:] == ["1"] and refused.startswith("UsageError blobs abfs://models/team"), refused
