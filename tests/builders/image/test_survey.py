"""One pass over layers: what is found, that they are what their image says, and that it is not done twice."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
import zstandard
from gantline.builders.image import rootfs
from gantline.builders.image.entry import Entry, of_bytes
from gantline.builders.image.layer import Layer, write_layer
from gantline.builders.image.memory import Memory
from gantline.builders.image.survey import look, survey
from gantline.builders.image.tree import FILE, Tree

from gantline.blobs import sha256_bytes
from gantline.errors import BadArtefact, VerificationFailed
from gantline.oci.descriptor import LAYER_GZIP, LAYER_ZSTD, Descriptor
from gantline.oci.store import Store

from .tiny_elf import tiny_elf
from .whiteout import whiteout

STATUS = b"Package: libc6\nStatus: install ok installed\nVersion: 2.36-9\nDescription: long\n text\n\nPackage: b\n"


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    return Memory(tmp_path / "memory", 1)


def surveyed(store: Store, memory: Memory, *layers: Layer) -> Tree:
    return survey(store, [layer.descriptor for layer in layers], [layer.diff_id for layer in layers], memory)


def test_what_is_found(store: Store, memory: Memory) -> None:
    libc = tiny_elf(soname="libc.so.6") + b"GNU C Library (Debian GLIBC 2.36-9+deb12u14) stable release version 2.36.\n"
    below = [
        of_bytes("usr/lib/libc.so.6", libc), Entry("lib", link="usr/lib"), of_bytes("etc/os-release", b"ID=debian\n"),
        of_bytes("var/lib/dpkg/status", STATUS), of_bytes("etc/gone", b"x"),
        of_bytes("usr/lib/broken.so", b"\x7fELF" * 20),
    ]  # fmt: skip
    above = [whiteout("etc", "gone"), of_bytes("usr/lib/x.so", tiny_elf("arm64"))]
    layers = write_layer(store, below, "below"), write_layer(store, above, "above", compress=False)
    for _ in range(2):
        tree = surveyed(store, memory, *layers)
        found = tree.find("lib/libc.so.6")
        assert found is not None and found.elf is not None
        assert (found.text, found.elf.soname, found.kind, found.size) == ("2.36", "libc.so.6", FILE, len(libc))
        assert [(n.text or "") for p, n in tree.walk() if p.startswith("etc/")] == ["ID=debian\n"]
        status = tree.find("var/lib/dpkg/status")
        assert status is not None and status.text is not None
        assert "Version: 2.36-9" in status.text and "Package: b" in status.text and "Description" not in status.text
        other, broken = tree.find("usr/lib/x.so"), tree.find("usr/lib/broken.so")
        assert other and other.elf and other.elf.architecture == "arm64"
        assert broken and broken.elf is None
        for layer in layers:  # the second time nothing is read
            store.path(layer.descriptor.digest).unlink(missing_ok=True)


def test_which_python(store: Store, memory: Memory) -> None:
    """As compilers leave it: a string of its own, or the end of a longer one; nothing where it is not one alone."""
    files = {
        "usr/local/lib/libpython3.11.so.1.0": b"\0./Modules/3.11.9\x003.11.9\x00lib/python3.11\x003.2.0\0",
        "opt/a/bin/python3.12": b"/opt/3.12.1\0",
        "opt/b/bin/python3.13": b"\x003.13.0rc1+\0",
        "opt/c/bin/python3.11": b"\x003.11.1\0 \x003.11.2\0",
        "opt/d/bin/python3.11": b"\x0013.11.1\0",
    }
    tree = surveyed(store, memory, write_layer(store, [of_bytes(p, tiny_elf() + b) for p, b in files.items()], "x"))
    found = [node and node.text for node in map(tree.find, files)]
    assert found == ["3.11.9", "3.12.1", "3.13.0rc1+", None, None]


def test_zstd(store: Store, memory: Memory) -> None:
    plain = write_layer(store, [of_bytes("a", b"x")], "x", compress=False)
    packed = zstandard.ZstdCompressor().compress(store.path(plain.descriptor.digest).read_bytes())
    descriptor = store.add(packed, LAYER_ZSTD)
    assert survey(store, [descriptor], [plain.diff_id], memory).names("") == ("a",)


def test_not_the_layer_that_its_image_names(store: Store, memory: Memory) -> None:
    layer = write_layer(store, [of_bytes("a", b"x")], "x")
    with pytest.raises(VerificationFailed, match="unpacks to"):
        survey(store, [layer.descriptor], ["sha256:" + "0" * 64], memory)


def test_another_layer_that_claims_the_same_content(store: Store, memory: Memory) -> None:
    layer = write_layer(store, [of_bytes("a", b"x")], "x")
    surveyed(store, memory, layer)
    other = store.add(b"no tar", LAYER_GZIP)
    with pytest.raises(BadArtefact):
        survey(store, [other], [layer.diff_id], memory)


def raw(store: Store, data: bytes) -> tuple[Descriptor, str]:
    return store.add(data, "application/vnd.oci.image.layer.v1.tar"), sha256_bytes(data)


def test_hostile_layers(store: Store, memory: Memory) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("../../etc/passwd"))
    descriptor, diff_id = raw(store, out.getvalue())
    with pytest.raises(BadArtefact, match="leads out of the root"):
        survey(store, [descriptor], [diff_id], memory)
    descriptor, diff_id = raw(store, b"no tar" * 1000)
    with pytest.raises(BadArtefact, match="not a tar archive"):
        survey(store, [descriptor], [diff_id], memory)


def test_a_layer_of_too_many_bytes(store: Store, memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rootfs, "LARGEST", 1 << 20)
    layer = write_layer(store, [of_bytes("a", bytes(2 << 20))], "zeros")
    with pytest.raises(BadArtefact, match="unpacks to"):
        surveyed(store, memory, layer)


def test_names_that_are_no_text_are_remembered(store: Store, memory: Memory) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo("caf\udce9"))
    descriptor, diff_id = raw(store, out.getvalue())
    for _ in range(2):
        assert survey(store, [descriptor], [diff_id], memory).names("") == ("caf\udce9",)


def test_a_long_library_is_looked_at_from_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gantline.builders.image.survey._IN_MEMORY", 100)
    data = tiny_elf(needed=("liba.so",))
    elf, _ = look("x.so", data[:4], io.BytesIO(data[4:]), len(data))
    assert elf is not None and elf.needed == ("liba.so",)
