"""What a user asks of a build."""

from __future__ import annotations

import io
import itertools
import json
import tarfile
from pathlib import Path

import pytest
from gantline.builders.image.build import Supplies, Wheels
from gantline.builders.image.content import Part
from gantline.builders.image.entry import Entry
from gantline.builders.image.order import Order, carry_out, check_tag

from gantline.errors import BadArtefact, Unsupported, UsageError, VerificationFailed
from gantline.manifest import Manifest
from gantline.oci.descriptor import INDEX
from gantline.oci.platforms import Platform
from gantline.oci.store import Store
from gantline.packages import Package, seal

from .tiny_elf import tiny_elf


def nothing(*_: object) -> Supplies:
    return Supplies(Wheels())


BOTH = (Platform("linux", "amd64"), Platform("linux", "arm64"))


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def package(tmp_path: Path) -> Package:
    root = tmp_path / "m.pkg"
    root.mkdir()
    (root / "model.onnx").write_bytes(b"model")
    return seal(root, Manifest("m", "onnx", "model.onnx"), {})


def test_one_platform(package: Package, rootfs: Path, tmp_path: Path) -> None:
    said: list[str] = []
    order = Order("m:1", BOTH[:1], str(rootfs), tmp_path / "m.tar")
    done = carry_out(package, order, nothing, said.append)
    assert Store.of_user().names()["m:1"].digest == done.descriptor.digest == done.images[0].image.descriptor.digest
    assert done.written == (tmp_path / "m.tar").stat().st_size
    assert [line.partition(":")[0] for line in said] == ["linux/amd64"] * 2


def test_an_image_is_no_base_of_another(package: Package, rootfs: Path, tmp_path: Path) -> None:
    """Two versions of a distribution would lie in one environment."""
    carry_out(package, Order("m:1", BOTH[:1], str(rootfs), tmp_path / "m.tar"), nothing, print)
    with pytest.raises(BadArtefact, match=f"base m.tar: has /opt/gantline, .* was built on, {rootfs.name}"):
        carry_out(package, Order("m:2", BOTH[:1], str(tmp_path / "m.tar")), nothing, print)


def test_what_the_base_itself_lacks_is_said(package: Package, rootfs: Path, tmp_path: Path) -> None:
    with tarfile.open(rootfs, "a") as tar:
        for name in ("_tkinter.so", *(f"{n}.so" for n in range(5))):
            data = tiny_elf(needed=(f"lib{name}",))
            info = tarfile.TarInfo(f"usr/lib/python3.11/lib-dynload/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    for _ in range(2):  # found out, and remembered
        said: list[str] = []
        carry_out(package, Order("m:1", BOTH[:1], str(rootfs)), nothing, said.append)
        (line,) = (line for line in said if "its own files lack" in line)
        assert line.count(".so (") == 5 and line.endswith(" and 1 more; no matter unless they are used")


def test_several(package: Package, rootfs: Path, tmp_path: Path) -> None:
    done = carry_out(package, Order("m:1", BOTH, str(rootfs), tmp_path / "m"), nothing, lambda _: None)
    assert done.descriptor.media_type == INDEX
    index = Store(tmp_path / "m").read_json(Store(tmp_path / "m").names()["m:1"])
    assert [m["platform"]["architecture"] for m in index["manifests"]] == ["amd64", "arm64"]


def test_nothing_stays_of_what_fails(package: Package, rootfs: Path, tmp_path: Path) -> None:
    (package.path / "model.onnx").write_bytes(b"other")
    with pytest.raises(VerificationFailed):
        carry_out(package, Order("m:1", BOTH, str(rootfs), tmp_path / "m.tar"), nothing, lambda _: None)
    assert not (tmp_path / "m.tar").exists() and not (tmp_path / "home" / "store").exists()


def test_what_is_at_the_output_is_said_before_the_work(package: Package, rootfs: Path, tmp_path: Path) -> None:
    (tmp_path / "m.tar").write_bytes(b"mine")
    with pytest.raises(UsageError, match="exists; choose another -o"):
        carry_out(package, Order("m:1", BOTH, str(rootfs), tmp_path / "m.tar"), nothing, lambda _: None)
    assert (tmp_path / "m.tar").read_bytes() == b"mine" and not (tmp_path / "home" / "store").exists()


def test_a_folder_with_more_than_a_context_is_said_before_the_work(
    package: Package, rootfs: Path, tmp_path: Path
) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "mine").write_bytes(b"")
    order = Order("m:1", BOTH[:1], str(rootfs), tmp_path / "c", overwrite=True, context=True)
    with pytest.raises(UsageError, match="holds 'mine', too, which is no part of a context"):
        carry_out(package, order, nothing, lambda _: None)
    assert (tmp_path / "c" / "mine").exists() and not (tmp_path / "home" / "store").exists()


def test_a_layer_that_comes_out_otherwise(package: Package, rootfs: Path) -> None:
    """One whose bytes are not what its key says: only a second build from nothing finds it."""
    number = itertools.count()
    odd = Entry("opt/odd", 1, lambda: io.BytesIO(b"%d" % next(number)))

    def supply(*_: object) -> Supplies:
        return Supplies(Wheels(), (Part("odd", (("opt/odd", "key"),), (odd,), True),))

    with pytest.raises(VerificationFailed, match=r"a second build came out otherwise: odd$"):
        carry_out(package, Order("m:1", BOTH[:1], str(rootfs), twice=True), supply, lambda _: None)
    assert "m:1" not in Store.of_user().names()


@pytest.mark.parametrize(("short", "said"), [(1, "linux/amd64 is .*, over --max-size .*: "), (0, "")])
def test_a_budget(package: Package, rootfs: Path, tmp_path: Path, short: int, said: str) -> None:
    """To the byte: what is as large as it may be passes."""
    built = carry_out(package, Order("m:1", BOTH[:1], str(rootfs)), nothing, lambda _: None).images[0]
    most = built.new + built.reused + built.below - short
    order = Order("m:2", BOTH[:1], str(rootfs), tmp_path / "m.tar", max_size=most)
    if said:
        with pytest.raises(VerificationFailed, match=said):
            carry_out(package, order, nothing, lambda _: None)
    else:
        carry_out(package, order, nothing, lambda _: None)
    assert (tmp_path / "m.tar").exists() == ("m:2" in Store.of_user().names()) == (not said)


def test_a_platform_that_there_is_nothing_for(package: Package, rootfs: Path) -> None:
    order = Order("m:1", (Platform("linux", "sparc"),), str(rootfs))
    with pytest.raises(Unsupported, match="images are made for linux/amd64, linux/arm64"):
        carry_out(package, order, nothing, lambda _: None)


@pytest.mark.parametrize(
    "tag", ["iris", "Iris:1", "iris:", ":1", "iris:1:2", "-iris:1", "iris:.1", "a//b:1", "iris:" + "1" * 129]
)
def test_tags_that_cannot_be(tag: str) -> None:
    with pytest.raises(UsageError, match="expected NAME:TAG"):
        check_tag(tag)


@pytest.mark.parametrize("tag", ["iris:1", "team/iris-model:v1.2_3", "a__b.c:latest"])
def test_tags(tag: str) -> None:
    assert check_tag(tag) == tag


def test_an_archive_of_several_names_the_first_for_docker(package: Package, rootfs: Path, tmp_path: Path) -> None:
    carry_out(package, Order("m:1", BOTH, str(rootfs), tmp_path / "m.tar"), nothing, lambda _: None)
    with tarfile.open(tmp_path / "m.tar") as tar:
        file = tar.extractfile("manifest.json")
        assert file is not None
        (docker,) = json.loads(file.read())
        config = tar.extractfile(docker["Config"])
        assert config is not None and json.loads(config.read())["architecture"] == "amd64"
