"""The press: gzip comes out, the same whatever pieces come in; what fails on its thread is raised in ours."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import sys
import tarfile
import threading
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from gantline.builders.image.bytecode import bytecode
from gantline.builders.image.entry import Entry, of_bytes, of_file
from gantline.builders.image.gzip_blocks import GzipBlocks
from gantline.builders.image.layer import write_layer
from gantline.builders.image.press import LEVEL, PIECE, pressed

from gantline.errors import Unavailable
from gantline.oci.store import Incoming, Store


def plain_bytes() -> bytes:
    drawn = random.Random(0)
    words = [drawn.randbytes(drawn.randint(3, 12)) for _ in range(500)]
    return b"".join(drawn.choices(words, k=400_000)) + drawn.randbytes(200_000)


@pytest.mark.parametrize("most", [3 * PIECE, 50_000, 700])
def test_the_same_bytes_whatever_pieces_come(store: Store, most: int) -> None:
    data, drawn = plain_bytes(), random.Random(most)
    with store.receive() as incoming, pressed(incoming) as press:
        at = 0
        while at < len(data):
            count = drawn.randint(1, most)
            press.write(data[at : at + count])
            at += count
        assert press.tell() >= len(data)
    with gzip.open(store.path(incoming.digest)) as f:
        assert f.read() == data
    whole = io.BytesIO()
    with GzipBlocks(whole, LEVEL, 1) as made:
        made.write(data)
    assert store.path(incoming.digest).read_bytes() == whole.getvalue()
    assert press.digest == "sha256:" + hashlib.sha256(data).hexdigest()


def test_a_full_disk_is_said_and_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(self: Incoming, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Incoming, "write", full)
    entries = [of_file("big", zeros(tmp_path / "big", 64 * PIECE))]
    for compress in (True, False):
        with pytest.raises(Unavailable, match="no space left"):
            write_layer(store, entries, "big", compress)
    assert list((store.root / "blobs" / "sha256").iterdir()) == []
    assert not [one for one in threading.enumerate() if one.name == "gantline-press"]


def zeros(path: Path, count: int) -> Path:
    """A file of so many bytes, which take no room."""
    with path.open("wb") as f:
        f.truncate(count)
    return path


@pytest.mark.parametrize("compress", [True, False])
def test_a_large_file_takes_little_memory(store: Store, tmp_path: Path, compress: bool) -> None:
    size = 200 * PIECE
    entry = of_file("w", zeros(tmp_path / "w", size))
    tracemalloc.start()
    try:
        made = write_layer(store, [entry], "weights", compress)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < (16 + 8) * PIECE  # with a block for each of 8 threads
    assert made.unpacked == size and (made.diff_id == made.descriptor.digest) is not compress


def test_what_cannot_be_read_ends_the_press(store: Store) -> None:
    entries = [of_bytes("a", b"a"), Entry("b", 10, lambda: io.BytesIO(b"short"))]
    with pytest.raises(OSError, match="unexpected end of data"):
        write_layer(store, entries, "short")
    assert not [one for one in threading.enumerate() if one.name == "gantline-press"]


def test_threads_that_compile_leave_warnings_as_they_were() -> None:
    """What is shown is the whole process's, and each hides it for a while: two at once would hide it for ever."""
    shown = list(warnings.filters)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(lambda _: bytecode("a/b.py", b"x = 1 is 1\n"), range(4000)))
    finally:
        sys.setswitchinterval(before)
    assert None not in made and warnings.filters == shown


def test_it_is_a_tar(store: Store) -> None:
    made = write_layer(store, [of_bytes("a/b", b"1" * 3_000_000), of_bytes("a/c", b"2")], "x")
    with tarfile.open(store.path(made.descriptor.digest)) as tar:
        assert [(m.name, m.size, m.mtime) for m in tar] == [("a", 0, 0), ("a/b", 3_000_000, 0), ("a/c", 1, 0)]
