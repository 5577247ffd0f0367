"""Bytecode for what of a base's own Python has none, and for nothing else."""

from __future__ import annotations

import io
import marshal
import subprocess
import sys
import tarfile
from dataclasses import replace
from importlib.util import MAGIC_NUMBER
from pathlib import Path

import pytest
from gantline.builders.image import build as building
from gantline.builders.image import library
from gantline.builders.image.base import Base, open_base
from gantline.builders.image.bytecode import TAG
from gantline.builders.image.memory import Memory
from gantline.builders.image.shelf import Shelf
from gantline.builders.image.survey import survey

from gantline.oci.descriptor import LAYER
from gantline.oci.store import Store

from .conftest import AMD64

PYTHON = (sys.version_info[0], sys.version_info[1])
NAME = f"python{PYTHON[0]}.{PYTHON[1]}"
LIB = f"usr/lib/{NAME}"
KNOWN = MAGIC_NUMBER + b"\1" + b"\0" * 11 + marshal.dumps(compile("C = 1", "known.py", "exec"))  # never checked
FILES = {
    f"usr/bin/{NAME}": b"", f"{LIB}/asyncio/__init__.py": b"A = 'library'\n", f"{LIB}/bare.py": b"B = 'below'\n",
    f"{LIB}/known.py": b"C = 1\n", f"{LIB}/__pycache__/known.{TAG}.pyc": KNOWN, f"{LIB}/bad.py": b"print 'old'\n",
    f"{LIB}/lib-dynload/x.so": b"", f"{LIB}/test/support.py": b"", f"{LIB}/xml/tests/a.py": b"",
    f"{LIB}/site-packages/other.py": b"", f"usr/lib/elsewhere/{NAME}.py": b"",
}  # fmt: skip


def rootfs(path: Path, files: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for name, to in (links or {}).items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, to
            tar.addfile(link)
    return path


@pytest.fixture
def debian(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> Base:
    """Whose Python has bytecode for a part of its library."""
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path / "home"))
    path = rootfs(tmp_path / "debian.tar", FILES, {"lib": "usr/lib", f"{LIB}/linked.py": "bare.py"})
    return open_base(str(path), AMD64, store)


def upon(base: Base, store: Store, path: Path) -> Base:
    """The base, and a tar as a layer upon it."""
    with store.receive() as incoming:
        incoming.write(path.read_bytes())
    above = replace(base.layers[0], media_type=LAYER, digest=incoming.digest, size=incoming.size)
    layers, diff_ids = (*base.layers, above), (*base.diff_ids, incoming.digest)
    tree = survey(store, layers, diff_ids, Memory(path.parent / "memory", 1))
    return replace(base, layers=layers, diff_ids=diff_ids, tree=tree)


def test_what_a_start_would_compile(debian: Base) -> None:
    assert library.uncompiled(debian) == (f"{LIB}/asyncio/__init__.py", f"{LIB}/bad.py", f"{LIB}/bare.py")
    assert library.uncompiled(replace(debian, python=(PYTHON[0], PYTHON[1] + 1))) == ()
    assert library.uncompiled(replace(debian, interpreter="/opt/nothing/bin/python")) == ()


def test_the_topmost_layer_has_it(debian: Base, store: Store, tmp_path: Path) -> None:
    """Through links, too; and what does not compile is the importer's to tell."""
    files = {f"lib/{NAME}/bare.py": b"B = 'above'\n", f"{LIB}/more.py": b"D = 1\n"}
    base = upon(debian, store, rootfs(tmp_path / "more.tar", files))
    sources = library.uncompiled(base)
    assert f"{LIB}/more.py" in sources
    for entry in library.entries(base, sources):
        assert entry.open is not None
        (tmp_path / entry.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / entry.path).write_bytes(entry.open().read())
    made = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.pyc")}
    assert made == {f"{LIB}/{at}.{TAG}.pyc" for at in ("asyncio/__pycache__/__init__", "__pycache__/bare",
                                                       "__pycache__/more")}  # fmt: skip
    for name in ("bare.py", "more.py"):
        (tmp_path / LIB / name).write_text("B = D = 'compiled at the start'\n")
    code = "import bare, more; print(bare.B, more.D)"
    done = subprocess.run(
        [sys.executable, "-B", "-c", code], cwd=tmp_path / LIB, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["above", "1"]


def test_what_is_no_file_any_longer_is_not_compiled(debian: Base, store: Store, tmp_path: Path) -> None:
    """Of a hard link the bytes are elsewhere: better none than those of a layer below."""
    path = rootfs(tmp_path / "linked.tar", {f"{LIB}/known.py": b"C = 2\n"})
    with tarfile.open(path, "a") as tar:
        link = tarfile.TarInfo(f"{LIB}/bare.py")
        link.type, link.linkname = tarfile.LNKTYPE, f"{LIB}/known.py"
        tar.addfile(link)
    base = upon(debian, store, path)
    made = {e.path for e in library.entries(base, library.uncompiled(base))}
    assert made == {f"{LIB}/asyncio/__pycache__/__init__.{TAG}.pyc"}


def test_a_layer_that_depends_on_the_base_alone(debian: Base, base: Base, shelf: Shelf) -> None:
    (make,) = building._library_layers(debian, shelf)
    made = make()
    assert made.layer.title == f"bytecode of Python {PYTHON[0]}.{PYTHON[1]}" and not made.reused
    (again,) = building._library_layers(replace(debian, name="other"), shelf)
    assert again().reused and again().layer.diff_id == made.layer.diff_id
    assert building._library_layers(base, shelf) == [], "it has no library at all"
