"""Bodies under Content-Encoding: damaged ones, and those that grow beyond a limit."""

from __future__ import annotations

import gzip
import zlib

import pytest
from gantline.serve.compression import UnknownCoding, accepted, compress, decompress
from gantline.serve.exchange import Head

from gantline.errors import BadRequest, TooLarge


def test_damaged_and_foreign_codings() -> None:
    data = bytes(1000)
    assert decompress(data, b"identity", 10) == data
    for name, packed in ((b"gzip", gzip.compress(data)), (b"deflate", zlib.compress(data))):
        assert decompress(packed, name, 1000) == data
        with pytest.raises(TooLarge, match="larger than 999 bytes"):
            decompress(packed, name, 999)
        for damaged, said in (
            (packed[:-1], "cut off"),
            (packed[:5], "cut off"),
            (b"", "cut off"),
            (packed + b"x", "1 bytes after its end"),
            (b"no " + packed, "damaged"),
            (packed[:-5] + bytes(5), "damaged"),
        ):
            with pytest.raises(BadRequest, match=f"the {name.decode()} body (is|has) .*{said}"):
                decompress(damaged, name, 10_000)
    for name in (b"br", b"gzip, deflate", b"zstd", b"\xff"):
        with pytest.raises(UnknownCoding, match="use gzip or deflate"):
            decompress(data, name, 10_000)
    for coding in (b"gzip", b"deflate"):
        assert decompress(compress(data, coding), coding, 1000) == data


@pytest.mark.parametrize(
    ("wanted", "coding"),
    [
        (b"gzip", b"gzip"),
        (b"br, GZIP;q=0.5", b"gzip"),
        (b"gzip;q=0, deflate", b"deflate"),
        (b"gzip; q=0.00", None),
        (b"br", None),
        (b"", None),
    ],
)
def test_what_a_client_takes(wanted: bytes, coding: bytes | None) -> None:
    assert accepted(Head(b"POST", b"/", b"", [(b"accept-encoding", wanted)])) == coding
    assert accepted(Head(b"POST", b"/", b"", [])) is None
