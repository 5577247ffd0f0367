"""An image of a base with a Debian package, three wheels with a RECORD, and a package with a model and a script."""

from __future__ import annotations

import io
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from gantline.builders.image import runtime
from gantline.builders.image.order import Delivered, Order, carry_out
from gantline.builders.image.supply import Supplier
from gantline.builders.lock.sources import Sources

from gantline.manifest import EnvironmentRequest, Manifest, ScriptInfo
from gantline.oci.image import Image
from gantline.oci.platforms import Platform
from gantline.oci.store import Store
from gantline.packages import Package, seal

AMD64 = Platform("linux", "amd64")
LIBC = Path("/lib/x86_64-linux-gnu/libc.so.6")  # which tells the version of a base's C library
Build = Callable[..., Delivered]


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all of these tests build: each after the first builds warm."""
    if not LIBC.exists():
        pytest.skip("needs a C library as Debian has it on amd64")
    return tmp_path_factory.mktemp("evidence")


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, place: Path) -> Path:
    monkeypatch.setenv("GANTLINE_HOME", str(place / "home"))
    return place / "home"


def wheel(folder: Path, name: str, files: dict[str, bytes], version: str = "1.0") -> Path:
    """A wheel whose RECORD lists all of its files."""
    folder.mkdir(exist_ok=True)
    about = f"{name}-{version}.dist-info"
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {**files, f"{about}/METADATA": head.encode(), f"{about}/WHEEL": b"Wheel-Version: 1.0\nTag: py3-none-any\n"}
    record = "".join(f"{at},,\n" for at in [*files, f"{about}/RECORD"]).encode()
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for at, data in {**files, f"{about}/RECORD": record}.items():
            archive.writestr(at, data)
    return path


@pytest.fixture(scope="session")
def wheels(place: Path) -> Path:
    folder = place / "wheels"
    for line in runtime.requirements("script"):
        name, version = re.match(r"([\w.-]+)[>=]=([\d.]+)", line).groups()  # type: ignore[union-attr]
        wheel(folder, name, {f"{name}.py": b"A = 1\n"}, version)
    wheel(folder, "thing", {"thing/__init__.py": b"A = 2\n"}, "2.0")
    files = {"thing/__init__.py": b"A = 1\n", "thing/tests/test_a.py": b"", "thing/a.h": b""}
    wheel(
        folder, "thing", {**files, "thing-1.0.data/data/share/thing.txt": b"x", "thing-1.0.data/data/include/a.h": b""}
    )
    return folder


@pytest.fixture(scope="session")
def rootfs(place: Path) -> Path:
    status = "Package: libc6\nStatus: install ok installed\nVersion: 2.36-9\nArchitecture: amd64\n"
    return tar(
        place / "rootfs.tar",
        {
            "usr/bin/python3.11": b"",
            "usr/lib/python3.11/asyncio/__init__.py": b"A = 1\n",
            "etc/os-release": b"ID=debian\n",
            "usr/lib/x86_64-linux-gnu/libc.so.6": LIBC.read_bytes(),
            "var/lib/dpkg/status": status.encode(),
            "var/lib/dpkg/info/libc6:amd64.list": b"/.\n/lib\n/lib/x86_64-linux-gnu/libc.so.6\n",
        },
        {"lib": "usr/lib"},
    )


def tar(path: Path, files: dict[str, bytes], links: dict[str, str]) -> Path:
    with tarfile.open(path, "w") as out:
        for name, to in links.items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, to
            out.addfile(link)
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return path


def package(root: Path, code: str = "def init(): ...\ndef run(data): return 1\n", *asked: str) -> Package:
    (root / "code").mkdir(parents=True)
    (root / "code" / "score.py").write_text(code)
    (root / "models").mkdir()
    (root / "models" / "weights.bin").write_bytes(b"w" * 1000)
    wanted = EnvironmentRequest("requirements", "3.11", asked or ("thing==1.0",))
    script = ScriptInfo("score.py", code="code", models="models")
    return seal(root, Manifest("s", "script", script=script, environment=wanted), {})


@pytest.fixture
def build(wheels: Path, rootfs: Path) -> Build:
    """`build(package, "s:1")`."""
    return builder(wheels, rootfs)


def builder(wheels: Path, rootfs: Path) -> Build:
    def run(made: Package, tag: str, base: Path = rootfs) -> Delivered:
        supplier = Supplier(Sources(find_links=(str(wheels),), no_index=True), lambda _: None)
        return carry_out(made, Order(tag, (AMD64,), str(base)), supplier, lambda _: None)

    return run


@pytest.fixture(scope="session")
def image(place: Path, wheels: Path, rootfs: Path) -> Image:
    """Named s:1, of the package at `place`/s.pkg."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANTLINE_HOME", str(place / "home"))
        return builder(wheels, rootfs)(package(place / "s.pkg"), "s:1").images[0].image


@pytest.fixture
def store(home: Path) -> Store:
    return Store(home / "store")
