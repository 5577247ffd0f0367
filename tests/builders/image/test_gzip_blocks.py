"""Gzip in blocks: one member that other readers take, the same bytes by any number of threads, at gzip's own size."""

from __future__ import annotations

import gzip
import io
import random
import subprocess
import threading
import zlib

import pytest
from gantline.builders.image.gzip_blocks import BLOCK, GzipBlocks


def some(count: int) -> bytes:
    drawn = random.Random(count)
    words = [drawn.randbytes(drawn.randint(3, 12)) for _ in range(500)]
    return b"".join(drawn.choices(words, k=count // 7 + 1))[:count]


def packed(data: bytes, threads: int = 2) -> bytes:
    out = io.BytesIO()
    with GzipBlocks(out, 6, threads) as made:
        for at in range(0, len(data), 100_000):
            made.write(data[at : at + 100_000])
    return out.getvalue()


@pytest.mark.parametrize("count", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 5 * BLOCK + 777])
def test_one_member_that_is_read_by_others(count: int) -> None:
    data = some(count)
    made = packed(data)
    assert gzip.decompress(made) == data
    stream = zlib.decompressobj(wbits=31)
    assert stream.decompress(made) == data and stream.eof and not stream.unused_data, "one member, and nothing after"
    assert subprocess.run(["gzip", "-dc"], input=made, capture_output=True, check=True).stdout == data


def test_the_same_by_any_number_of_threads() -> None:
    data = some(20 * BLOCK + 5)
    assert len({packed(data, threads) for threads in (1, 2, 7)}) == 1


def test_blocks_look_back_over_their_beginning() -> None:
    """Without a dictionary each block of what repeats within 32 KiB would begin anew."""
    data = random.Random(0).randbytes(20_000) * 60
    assert len(packed(data)) < 1.05 * len(gzip.compress(data, 6))


def test_an_error_on_the_way_leaves_no_threads() -> None:
    class Full:
        def write(self, data: bytes) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        GzipBlocks(Full(), 6).__enter__()
    out = io.BytesIO()
    with pytest.raises(KeyError), GzipBlocks(out, 6, 3) as made:
        made.write(some(9 * BLOCK))
        raise KeyError
    assert not [one for one in threading.enumerate() if one.name.startswith("gantline-gzip")]
