"""Partial: what came before a process was killed does not come again; who comes second waits, and has it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from gantline.errors import Unavailable, VerificationFailed
from gantline.oci import partial
from gantline.oci.partial import Waited, going_on, kept, sweep
from gantline.oci.store import Store
from tests.oci.conftest import MakeImage
from tests.oci.faulty_registry import Registry, digest_of
from tests.oci.test_pull import get, is_whole, put
from tests.oci.test_push import noise

DATA = b"some bytes of a blob"
DIGEST = digest_of(DATA)


@pytest.fixture
def mine(tmp_path: Path) -> Store:
    return Store(tmp_path / "home" / "store").prepared()


def no_wait(seconds: float) -> None:
    pytest.fail("waits")


def left(mine: Store) -> list[str]:
    return sorted(p.name for p in (mine.root / "partial").iterdir())


def test_a_pull_that_is_killed_is_gone_on_with(
    registry: Registry, store: Store, mine: Store, make_image: MakeImage
) -> None:
    image = make_image("linux/amd64", b"x", noise(3_000_000))
    put(registry, store, image.descriptor)
    registry.stall = threading.Event()
    words = [sys.executable, "-m", "gantline", "pull", f"oci://{registry.host}/iris:1", "--jobs", "1"]
    own = {k: v for k, v in os.environ.items() if not k.startswith("GANTLINE_")}
    with subprocess.Popen(words, env=own | {"GANTLINE_HOME": str(mine.root.parent)}) as process:
        half = max(image.layers, key=lambda layer: layer.size)
        while process.poll() is None and kept(mine, half.digest) < half.size // 2 - (1 << 18):
            assert registry.stalled.wait(60)
        process.kill()
    registry.stall.set()
    registry.stall = None
    had = kept(mine, half.digest)
    assert 0 < had < half.size and mine.names() == {}
    done = get(registry, mine)
    assert is_whole(mine, image) and left(mine) == []
    assert done.wire == image.config_descriptor.size + sum(layer.size for layer in image.layers) - had


def test_what_was_left_may_be_wrong(registry: Registry, store: Store, mine: Store, make_image: MakeImage) -> None:
    """A disk that lost power has other bytes than were written."""
    image = make_image("linux/amd64", b"x", noise(1_000_000))
    put(registry, store, image.descriptor)
    (mine.root / "partial").mkdir()
    for blob, junk in zip(
        (*image.layers, image.config_descriptor), (b"\0", b"\0" * 500_000, b"\0" * 99_999), strict=True
    ):
        (mine.root / "partial" / blob.digest.removeprefix("sha256:")).write_bytes(junk)
    get(registry, mine)
    assert is_whole(mine, image) and left(mine) == []


def test_what_is_cut_stays_and_what_is_wrong_goes(mine: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt), going_on(mine, DIGEST, no_wait) as out:
        out.write(DATA[:5])
        raise KeyboardInterrupt
    assert left(mine) == [], "too little to be kept"
    monkeypatch.setattr(partial, "_WORTH", 5)
    with pytest.raises(KeyboardInterrupt), going_on(mine, DIGEST, no_wait) as out:
        out.write(DATA[:5])
        raise KeyboardInterrupt
    assert kept(mine, DIGEST) == 5 and left(mine) == [DIGEST[7:]]
    with pytest.raises(Unavailable, match="no space left on its disk"), going_on(mine, DIGEST, no_wait) as out:
        assert out.size == 5
        raise OSError(errno.ENOSPC, "No space left on device")
    assert left(mine) == []
    with pytest.raises(VerificationFailed, match="expected sha256"), going_on(mine, DIGEST, no_wait) as out:
        out.write(b"others")
    assert left(mine) == [] and not mine.has(DIGEST)
    with going_on(mine, DIGEST, no_wait) as out:
        out.write(DATA)
    assert left(mine) == [] and mine.path(DIGEST).read_bytes() == DATA


def test_who_comes_second_waits_and_has_it(mine: Store) -> None:
    waits: list[float] = []
    holds, done = threading.Event(), threading.Event()

    def first() -> None:
        with going_on(mine, DIGEST, no_wait) as out:
            holds.set()
            assert done.wait(30)
            out.write(DATA)

    def wait(seconds: float) -> None:
        waits.append(seconds)
        done.set()
        thread.join(30)

    thread = threading.Thread(target=first)
    thread.start()
    assert holds.wait(30)
    with pytest.raises(Waited), going_on(mine, DIGEST, wait):
        pytest.fail("has it")
    assert len(waits) == 1 and left(mine) == []


def test_one_that_stands_still_is_not_waited_for_for_ever(mine: Store) -> None:
    with going_on(mine, DIGEST, no_wait) as out:
        with pytest.raises(Unavailable, match=r"another process is getting it.*180 s"), going_on(
            mine, DIGEST, lambda seconds: None
        ):  # fmt: skip
            pytest.fail("has it")
        out.write(DATA)


def test_many_at_once_bring_it_once(mine: Store) -> None:
    written: list[int] = []

    def bring() -> None:
        with suppress(Waited), going_on(mine, DIGEST, time.sleep) as out:
            written.append(out.write(DATA))

    threads = [threading.Thread(target=bring) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert written == [len(DATA)] and mine.path(DIGEST).read_bytes() == DATA and left(mine) == []


def test_what_nobody_goes_on_with_is_removed(mine: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial, "_WORTH", 1)
    for data in (b"one", b"two", b"three"):
        with suppress(KeyboardInterrupt), going_on(mine, digest_of(data), no_wait) as out:
            out.write(data[:2])
            raise KeyboardInterrupt
    one, two = (mine.root / "partial" / digest_of(data)[7:] for data in (b"one", b"two"))
    os.utime(one, (1, 1))
    os.utime(two, (1, 1))
    with going_on(mine, digest_of(b"two"), no_wait) as out:
        os.utime(two, (1, 1))
        sweep(mine)
        assert not one.exists() and two.exists() and len(left(mine)) == 3
        out.write(b"o")
    sweep(mine, time.time() + partial.KEPT_S + 1)
    assert left(mine) == []
