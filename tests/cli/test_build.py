"""`gantline build` from a shell, with small wheels that stand for the runtime's."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from gantline.builders.image import runtime

from gantline.cli import main
from gantline.manifest import Manifest
from gantline.oci.store import Store
from gantline.packages import Package, seal
from gantline.registry.registry import Registry

Build = Callable[..., subprocess.CompletedProcess[str]]
LIBC = Path("/lib/x86_64-linux-gnu/libc.so.6")  # which tells the version of a base's C library
pytestmark = pytest.mark.skipif(not LIBC.exists(), reason="needs a C library as Debian has it on amd64")


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    path = tmp_path / "rootfs.tar"
    files = {
        "usr/bin/python3.11": b"",
        "etc/os-release": b"ID=debian\n",
        "usr/lib/x86_64-linux-gnu/libc.so.6": LIBC.read_bytes(),
    }
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    for line in runtime.requirements():
        name, version = re.match(r"([\w.-]+)[>=]=([\d.]+)", line).groups()  # type: ignore[union-attr]
        with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
            archive.writestr(f"{name}.py", "A = 1\n")
            about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            archive.writestr(f"{name}-{version}.dist-info/METADATA", about)
            archive.writestr(f"{name}-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            archive.writestr(f"{name}-{version}.dist-info/RECORD", "")
    return folder


@pytest.fixture
def package(tmp_path: Path) -> Package:
    root = tmp_path / "m.pkg"
    root.mkdir()
    (root / "model.onnx").write_bytes(b"model")
    return seal(root, Manifest("m", "onnx", "model.onnx"), {})


@pytest.fixture
def build(tmp_path: Path, package: Package, rootfs: Path, wheels: Path) -> Build:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("GANTLINE_", "PIP_", "UV_"))}

    def run(
        *words: str | Path, base: Path = rootfs, ref: str | Path = package.path
    ) -> subprocess.CompletedProcess[str]:
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "gantline",
            "build",
            ref,
            "--base",
            base,
            "--platform",
            "linux/amd64",
        ]
        command += ["--no-index", "--find-links", wheels, *words]
        own = environment | {"GANTLINE_HOME": str(tmp_path / "home"), "PIP_CONFIG_FILE": os.devnull}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=own, cwd=tmp_path, timeout=60)

    return run


def test_an_image_and_what_the_next_one_reuses(build: Build, tmp_path: Path) -> None:
    done = build("-o", "m.tar")
    assert done.returncode == 0, done.stderr
    assert "image     m:latest" in done.stdout and "gantline push m:latest" in done.stdout
    assert (tmp_path / "m.tar").stat().st_size > 10_000
    again = json.loads(build("--json", "--check-reproducible").stdout)
    assert again["reproducible"] is True
    (image,) = again["images"]
    assert image["bytes"]["new"] == 0 and image["bytes"]["reused"] > 1000
    assert image["id"] in done.stdout and again["digest"] in done.stdout
    assert [layer["title"] for layer in image["layers"]][-3:] == ["weights", "package", "evidence"]


def test_two_platforms(build: Build, tmp_path: Path, rootfs: Path) -> None:
    done = build("--platform", "linux/amd64,linux/arm64", "--json", "-o", tmp_path / "layout")
    assert done.returncode == 0, done.stderr + done.stdout
    assert [i["platform"] for i in json.loads(done.stdout)["images"]] == ["linux/amd64", "linux/arm64"]


def test_what_is_built_is_recorded(build: Build, tmp_path: Path, package: Package) -> None:
    done = json.loads(build("--json", "--platform", "linux/amd64,linux/arm64").stdout)
    with Registry.open(tmp_path / "home") as registry:
        assert registry.get("m:1").digest == package.digest
        assert [e.action for e in registry.history("m")] == ["register", "image", "image", "image"]
        for digest in (done["digest"], *(i[key] for i in done["images"] for key in ("id", "digest"))):
            assert registry.trace(digest).package == package.digest
        links = {link.what: link.values for link in registry.trace("m:1").links}
        lock = links["lock"][0].split()[0]
        assert len(links["image"]) == 3 and links["image"][0].startswith("m:latest linux/amd64 sha256:")
        assert registry.trace(lock).found_as == "lock" and registry.collect("0 seconds").blobs == ()
        registry.promote("m:1", "champion")
        again = json.loads(build("--json", "--platform", "linux/amd64,linux/arm64", ref="registry://m@champion").stdout)
        assert again["digest"] == done["digest"] and len(registry.history("m")) == 5  # noted already
        with Store(tmp_path / "home" / "store").path(done["images"][0]["digest"]).open("rb") as f:
            assert json.load(f)["config"]["digest"] == done["images"][0]["id"]
    elsewhere = build("--registry", str(tmp_path / "rootfs.tar"), "--tag", "other:1")
    assert elsewhere.returncode == 2 and "other:1 is built, and not recorded (--no-record" in elsewhere.stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--tag", "M:1"], 2, "expected NAME:TAG"),
        (["--max-size", "10kB"], 4, "linux/amd64 is "),
        (["--max-size", "much"], 2, "expected a number of bytes"),
        (["--python", "3.12"], 3, "3.12"),
        (["--platform", "amd64"], 2, "OS/ARCHITECTURE"),
        (["--lock", "none.toml"], 2, "none.toml"),
        (["-o", "rootfs.tar"], 2, "--overwrite"),
        (["--target", "context"], 2, "-o DIR"),
        (["--target", "context", "-o", "c", "--platform", "linux/amd64,linux/arm64"], 2, "one platform"),
    ],
)
def test_mistakes_are_one_line(build: Build, tmp_path: Path, words: list[str], code: int, message: str) -> None:
    before = (tmp_path / "rootfs.tar").read_bytes()
    done = build(*words)
    assert done.returncode == code, done.stderr + done.stdout
    *_, last = done.stderr.splitlines()
    assert last.startswith("gantline build: error: ") and message in last
    assert (tmp_path / "rootfs.tar").read_bytes() == before
    assert not (tmp_path / "home" / "store" / "index.json").exists(), "no name stands for what failed"


def test_where_it_goes_is_looked_at_before_it_is_built(
    package: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = f"unix://{tmp_path}/none.sock"
    assert main(["build", str(package.path), "--target", "docker", "--engine-url", nowhere]) == 6
    assert main(["build", str(package.path), "--push", "UPPER CASE"]) == 2
    assert "base" not in capsys.readouterr().err
