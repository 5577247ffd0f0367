"""Regions over real POSIX shared memory: what may be registered, read and written, and what owners do meanwhile."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from gantline.serve.control import Control
from gantline.serve.shared_memory import MAX_REGIONS, Access, Region, SharedMemory

from gantline.errors import BadRequest, GantlineError, NotFound, TooLarge, Unavailable, Unsupported
from gantline.request import Place

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="regions are served on Linux only")


@pytest.fixture
def shm() -> Iterator[Path]:
    """A shared-memory object of 64 bytes, 0 to 63."""
    path = Path("/dev/shm") / f"gantline-test-{uuid.uuid4().hex}"
    path.write_bytes(bytes(range(64)))
    yield path
    path.unlink(missing_ok=True)


class Desk:
    def __init__(self, allowed: bool = True, limit: int = 1 << 20) -> None:
        self.control = Control()
        self.shared = SharedMemory(allowed, limit, self.control)

    def call(self, verb: str, **arguments: Any) -> Any:
        return asyncio.run(self.control.call(f"shared_memory_{verb}", **arguments))

    def register(self, region: Any, key: Any, offset: Any = 0, byte_size: Any = 64) -> None:
        self.call("register", region=region, key=key, offset=offset, byte_size=byte_size)


def test_register_look_and_unregister(shm: Path) -> None:
    desk = Desk()
    desk.register("a", f"/{shm.name}")
    desk.register("b", shm.name, 8, 16)
    a = {"name": "a", "key": f"/{shm.name}", "offset": 0, "byte_size": 64}
    b = {"name": "b", "key": shm.name, "offset": 8, "byte_size": 16}
    assert desk.call("status", region="") == [a, b] and desk.call("status", region="b") == [b]
    assert desk.shared.largest() == 64
    desk.call("unregister", region="a")
    desk.call("unregister", region="nope")
    assert desk.call("status", region="") == [b]
    with pytest.raises(NotFound, match="Unable to find shared memory region: 'a'"):
        desk.call("status", region="a")
    desk.call("unregister", region="")
    assert desk.call("status", region="") == [] and desk.shared.largest() == 0


def test_reading_and_writing_keep_to_the_region(shm: Path) -> None:
    desk = Desk()
    desk.register("b", shm.name, 8, 16)
    access = Access(desk.shared)
    assert bytes(access.read(Place("b", 2, 4))) == bytes([10, 11, 12, 13])
    assert bytes(access.read(Place("b", 16, 0))) == b""
    access.write(Place("b", 12, 4), b"####")
    want = bytes(range(20)) + b"####" + bytes(range(24, 64))
    assert shm.read_bytes() == want
    for place, words in (
        (Place("b", 17, 0), "Invalid offset for"),
        (Place("b", 13, 4), r"Invalid offset \+ byte size for"),
        (Place("b", 1 << 70, 1), "Invalid offset for"),
        (Place("b", 0, 17), r"Invalid offset \+ byte size for"),
    ):
        for act in (access.check, access.read, lambda p: access.write(p, b"#" * min(p.size, 1))):
            with pytest.raises(BadRequest, match=words):
                act(place)
    assert shm.read_bytes() == want
    with pytest.raises(NotFound):
        access.read(Place("nope", 0, 1))


@pytest.mark.parametrize(
    "key", ["", "/", "a/b", "/../etc/passwd", "..", ".", "/a/", "//a", "\0", "a\0b", "\ud800", "k" * 300]
)
def test_keys_that_lead_elsewhere_are_refused(key: str) -> None:
    with pytest.raises(BadRequest):
        Desk().register("r", key)


def test_what_is_not_shared_memory_is_refused(shm: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(64))
    link, fifo, folder = (shm.with_name(f"{shm.name}-{kind}") for kind in ("link", "fifo", "folder"))
    try:
        link.symlink_to(secret)
        os.mkfifo(fifo)
        folder.mkdir()
        for path in (link, fifo, folder, shm.with_name("not-there-" + shm.name)):
            with pytest.raises(BadRequest, match="Unable to open shared memory region"):
                Desk().register("r", path.name)
    finally:
        link.unlink()
        fifo.unlink()
        folder.rmdir()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"byte_size": 65}, "exceed the 64 bytes"),
        ({"offset": 1}, "exceed the 64 bytes"),
        ({"offset": -1}, '"offset"'),
        ({"offset": 1 << 80}, "exceed"),
        ({"byte_size": 0}, '"byte_size"'),
        ({"byte_size": 8.0}, '"byte_size"'),
        ({"byte_size": True}, '"byte_size"'),
        ({"region": ""}, "name of 1 to"),
        ({"region": "r" * 300}, "name of 1 to"),
        ({"region": 5}, "name of 1 to"),
        ({"key": 5}, '"key"'),
        ({"region": "taken"}, "'taken' already in manager"),
    ],
)
def test_wrong_registrations(shm: Path, changes: dict[str, Any], words: str) -> None:
    desk = Desk()
    desk.register("taken", shm.name)
    with pytest.raises(BadRequest, match=words):
        desk.register(**({"region": "r", "key": shm.name} | changes))
    assert list(desk.shared.regions) == ["taken"]


def test_off_unless_allowed(shm: Path) -> None:
    desk = Desk(allowed=False)
    with pytest.raises(Unsupported, match="--allow-shared-memory"):
        desk.register("r", shm.name)
    assert desk.shared.access() is None
    assert desk.call("status", region="") == []
    desk.call("unregister", region="")


def test_the_number_of_regions_is_bounded(shm: Path) -> None:
    desk = Desk()
    one = Region("one", shm.name, 0, 64)
    desk.shared.regions = {str(i): one for i in range(MAX_REGIONS)}
    with pytest.raises(Unavailable):
        desk.register("r", shm.name)


def test_one_request_reads_no_more_than_a_body_may_hold(shm: Path) -> None:
    desk = Desk(limit=100)
    desk.register("r", shm.name)
    access = desk.shared.access()
    assert access is not None
    access.read(Place("r", 0, 64))
    with pytest.raises(TooLarge, match="--max-body-bytes"):
        access.read(Place("r", 0, 64))


def test_an_owner_that_cuts_its_region_short_hurts_only_its_requests(shm: Path) -> None:
    desk = Desk()
    desk.register("r", shm.name)
    os.truncate(shm, 16)
    access = Access(desk.shared)
    assert bytes(access.read(Place("r", 8, 8))) == bytes(range(8, 16))

    def write() -> None:
        access.write(Place("r", 10, 8), b"#" * 8)

    for act in (lambda: access.read(Place("r", 10, 8)), write):
        with pytest.raises(GantlineError, match="has become shorter than was registered"):
            act()
    assert shm.stat().st_size == 16, "writing does not make it longer again"


def test_a_region_lasts_for_the_request_that_uses_it(shm: Path) -> None:
    desk = Desk()
    desk.register("r", shm.name)
    region = desk.shared.find("r")

    def open_files() -> int:
        """Of this object: others of this process come and go on threads of servers."""
        links = []
        for file in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                links.append(os.readlink(file))
        return sum(shm.name in link for link in links)

    assert open_files() == 1
    desk.call("unregister", region="r")
    shm.unlink()
    assert bytes(region.read(Place("r", 0, 2))) == b"\0\1"
    assert open_files() == 1
    del region
    assert open_files() == 0, "its file is closed with its last user"
