"""Uploads on the disk."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from gantline.serve.distribution import uploads as module
from gantline.serve.distribution.refusal import Refusal
from gantline.serve.distribution.uploads import KEPT_S, Uploads

from gantline.oci.store import Store


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    return Uploads(Store(tmp_path).prepared())


async def body(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def test_pieces_become_a_blob(uploads: Uploads, tmp_path: Path) -> None:
    name = uploads.begin()
    assert uploads.size(name) == 0
    assert asyncio.run(uploads.append(name, body(b"ab", b"", b"c"), None)) == 3
    assert asyncio.run(uploads.append(name, body(b"d"), 3)) == 4
    digest = "sha256:" + hashlib.sha256(b"abcd").hexdigest()
    assert asyncio.run(uploads.finish(name, digest)) == 4
    assert Store(tmp_path).path(digest).read_bytes() == b"abcd"
    with pytest.raises(Refusal) as e:
        uploads.size(name)
    assert (e.value.status, e.value.code) == (404, "BLOB_UPLOAD_UNKNOWN")


def test_nothing_is_kept_of_another_digest(uploads: Uploads, tmp_path: Path) -> None:
    name = uploads.begin()
    asyncio.run(uploads.append(name, body(b"x"), None))
    with pytest.raises(Refusal, match="1 bytes arrived"):
        asyncio.run(uploads.finish(name, "sha256:" + "0" * 64))
    assert list((tmp_path / "uploads").iterdir()) == []


def test_what_nobody_goes_on_with_is_forgotten(uploads: Uploads, tmp_path: Path) -> None:
    old, new = uploads.begin(), uploads.begin()
    then = time.time() - KEPT_S - 60
    os.utime(tmp_path / "uploads" / old, (then, then))
    assert uploads.sweep(time.time()) == [old]
    assert uploads.size(new) == 0


def test_there_is_an_end_to_how_many(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 2)
    uploads.begin()
    uploads.begin()
    with pytest.raises(Refusal) as e:
        uploads.begin()
    assert e.value.status == 429 and e.value.headers["Retry-After"] == "60"


@pytest.mark.parametrize("name", ["", "../../index.json", "0" * 36, "x" * 36])
def test_names_that_are_none(uploads: Uploads, name: str) -> None:
    with pytest.raises(Refusal):
        uploads.cancel(name)


def test_a_full_disk_gets_its_room_back(uploads: Uploads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = uploads.begin()
    asyncio.run(uploads.append(name, body(b"ab"), None))
    write = module._write

    def full(handle: int, data: bytes) -> None:
        write(handle, data[:1])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "_write", full)
    with pytest.raises(Refusal) as e:
        asyncio.run(uploads.append(name, body(b"cd"), 2))
    assert (e.value.status, e.value.message) == (507, "no space left on the registry's disk")
    assert uploads.size(name) == 2
    monkeypatch.setattr(module, "_write", write)
    assert asyncio.run(uploads.append(name, body(b"cd"), 2)) == 4


def test_one_that_is_given_up_while_it_comes(uploads: Uploads) -> None:
    name = uploads.begin()

    async def given_up() -> AsyncIterator[bytes]:
        yield b"ab"
        uploads.cancel(name)
        yield b"c"

    assert asyncio.run(uploads.append(name, given_up(), None)) == 3
    with pytest.raises(Refusal, match="no such upload"):
        uploads.size(name)


def test_a_question_waits_for_what_is_on_its_way(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    async def asked(ends: bool) -> int:
        name, more, begun = uploads.begin(), asyncio.Event(), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b"ab"
            begun.set()
            await more.wait()
            yield b"cd"

        coming = asyncio.ensure_future(uploads.append(name, slow(), None))
        await begun.wait()
        question = asyncio.ensure_future(uploads.settled(name))
        await asyncio.sleep(0)
        if ends:
            more.set()
        found = await question
        more.set()
        await coming
        return found

    assert asyncio.run(asked(True)) == 4
    monkeypatch.setattr(module, "SETTLE_S", 0.05)
    assert asyncio.run(asked(False)) == 2
