"""Streams compressed in any way, whole and damaged."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
from collections.abc import Callable

import pytest
import zstandard
from gantline.builders.image.packed import packing, plain

from gantline.errors import BadArtefact, Unsupported

DATA = b"".join(i.to_bytes(3, "little") for i in range(20_000))
WAYS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "": bytes,
}


@pytest.mark.parametrize("way", WAYS)
def test_all_ways(way: str) -> None:
    packed = WAYS[way](DATA)
    assert packing(packed) == way
    with plain(io.BytesIO(packed), "x") as f:
        assert f.read(10) + f.read() == DATA


@pytest.mark.parametrize("way", [way for way in WAYS if way])
def test_damaged(way: str) -> None:
    packed = bytearray(WAYS[way](DATA))
    packed[len(packed) // 2 :] = bytes(len(packed) // 2 - 9)
    with pytest.raises(BadArtefact, match="x: cut off or damaged"), plain(io.BytesIO(packed), "x") as f:
        while f.read(1 << 16):
            pass


@pytest.mark.parametrize("way", [way for way in WAYS if way])
def test_cut_off(way: str) -> None:
    packed = WAYS[way](DATA)
    with pytest.raises(BadArtefact, match="x: cut off"), plain(io.BytesIO(packed[: len(packed) // 2]), "x") as f:
        f.read()


def test_several_in_a_row() -> None:
    with plain(io.BytesIO(WAYS["zstd"](b"one") + WAYS["zstd"](b"two")), "x") as f:
        assert f.read() == b"onetwo", "frames, as zstd -T writes them"


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(Unsupported, match="pip install zstandard"), plain(io.BytesIO(WAYS["zstd"](DATA)), "x"):
        pass
