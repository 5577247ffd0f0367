"""SharedMemory: POSIX shared-memory regions that clients have registered, to read inputs from and write outputs to.

A region is read and written through its file, not mapped: its owner may cut it short at any time, and a mapping would
then end this process with SIGBUS. The copy that this costs is one that a request needs anyway: what lies in a region
may change while the model runs.
"""

from __future__ import annotations

import os
import stat
import sys
from typing import Any

from gantline.errors import BadRequest, NotFound, TooLarge, Unavailable, Unsupported
from gantline.request import Place
from gantline.wire.v2_shared import Memory

from .control import Arguments, Control, Undo

MAX_REGIONS = 4096
MAX_NAME = 256  # characters
_FOLDER = "/dev/shm/"  # where shm_open(3) of Linux keeps them
_FLAGS = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)


class Region:
    """A registered stretch of a shared-memory object: `size` bytes from `offset` on.

    Its file is closed with the last reference, so that a region which is unregistered while a request uses it stays
    whole for that request.
    """

    __slots__ = ("_file", "key", "name", "offset", "size")

    def __init__(self, name: str, key: str, offset: int, size: int) -> None:
        """Open it. BadRequest for a key that is not one, or a stretch that is not there."""
        self._file = -1
        self.name, self.key, self.offset, self.size = name, key, offset, size
        plain = key.removeprefix("/")
        if not plain or "/" in plain or "\0" in plain or plain in (".", "..") or len(key) > MAX_NAME:
            raise BadRequest(f"shared memory region '{name}': key {key!r} is not the name of a shared memory object")
        try:
            self._file = os.open(_FOLDER + plain, _FLAGS)
        except (OSError, UnicodeError) as e:
            why = e.strerror if isinstance(e, OSError) else "no such name"
            raise BadRequest(f"Unable to open shared memory region: '{key}': {why}") from e
        found = os.fstat(self._file)
        if not stat.S_ISREG(found.st_mode):
            raise BadRequest(f"Unable to open shared memory region: '{key}': it is not a shared memory object")
        if offset + size > found.st_size:
            raise BadRequest(
                f"failed to register shared memory region '{name}': offset {offset} and byte_size {size} exceed the "
                f"{found.st_size} bytes of '{key}'"
            )

    def __del__(self) -> None:
        if self._file >= 0:
            os.close(self._file)

    def check(self, place: Place) -> None:
        """BadRequest unless the place lies inside."""
        if place.offset > self.size:
            raise BadRequest(f"Invalid offset for shared memory region: '{self.name}'")
        if place.offset + place.size > self.size:
            raise BadRequest(f"Invalid offset + byte size for shared memory region: '{self.name}'")

    def read(self, place: Place) -> memoryview:
        """A copy of a place's bytes. BadRequest if the object has become too short for it."""
        self.check(place)
        at, left = self.offset + place.offset, place.size
        parts: list[bytes] = []
        while left:
            part = os.pread(self._file, left, at)
            if not part:
                raise self._cut()
            parts.append(part)
            at, left = at + len(part), left - len(part)
        return memoryview(parts[0] if len(parts) == 1 else b"".join(parts))

    def write(self, place: Place, data: bytes) -> None:
        """Put `data`, which fits, into a place. BadRequest if the object has become too short for it."""
        self.check(place)
        assert len(data) <= place.size, "the codec looks first"
        at, view = self.offset + place.offset, memoryview(data)
        if at + len(view) > os.fstat(self._file).st_size:
            raise self._cut()  # else writing would make it longer
        while view:
            try:
                done = os.pwrite(self._file, view, at)
            except OSError as e:
                raise Unavailable(f"shared memory region '{self.name}' cannot be written: {e.strerror}") from e
            at, view = at + done, view[done:]

    def _cut(self) -> BadRequest:
        return BadRequest(f"shared memory region '{self.name}': '{self.key}' has become shorter than was registered")

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "key": self.key, "offset": self.offset, "byte_size": self.size}


class SharedMemory:
    """The regions of this process, and the verbs that change them: register, unregister, status.

    `max_bytes` bounds what one request reads, as it bounds a body.
    """

    def __init__(self, allowed: bool, max_bytes: int, control: Control) -> None:
        self.allowed = allowed
        self.max_bytes = max_bytes
        self.regions: dict[str, Region] = {}
        control.register("shared_memory_register", self._register, subject=_subject, back=_unregistered)
        control.register("shared_memory_unregister", self._unregister, subject=_subject, undoes=True)
        control.register("shared_memory_status", self._status)

    def access(self) -> Memory | None:
        """One request's use of the regions; None when they are not allowed."""
        return Access(self) if self.allowed else None

    def find(self, name: str) -> Region:
        """NotFound for a name that is not registered."""
        try:
            return self.regions[name]
        except KeyError:
            raise NotFound(f"Unable to find shared memory region: '{name}'") from None

    def largest(self) -> int:
        """The size of the largest region, in bytes."""
        return max((r.size for r in self.regions.values()), default=0)

    async def _register(self, arguments: Arguments) -> None:
        """region, key, offset, byte_size. BadRequest for what is taken or wrong, Unsupported when not allowed."""
        name, key = arguments["region"], arguments["key"]
        offset, size = arguments["offset"], arguments["byte_size"]
        if not self.allowed:
            raise Unsupported("shared memory is off; the server's --allow-shared-memory turns it on")
        if sys.platform != "linux":
            raise Unsupported("shared memory regions are served on Linux only")
        if not isinstance(name, str) or not name or len(name) > MAX_NAME:
            raise BadRequest(f"a shared memory region has a name of 1 to {MAX_NAME} characters")
        if not isinstance(key, str):
            raise BadRequest(f"shared memory region '{name}': \"key\" must be a string")
        if type(offset) is not int or offset < 0:
            raise BadRequest(f"shared memory region '{name}': \"offset\" must be a whole number from 0 up")
        if type(size) is not int or size < 1:
            raise BadRequest(f"shared memory region '{name}': \"byte_size\" must be a whole number from 1 up")
        if name in self.regions:
            raise BadRequest(f"shared memory region '{name}' already in manager")
        if len(self.regions) >= MAX_REGIONS:
            raise Unavailable(f"{MAX_REGIONS} shared memory regions are registered; unregister some first")
        self.regions[name] = Region(name, key, offset, size)

    async def _unregister(self, arguments: Arguments) -> None:
        """region; empty for all. One that is not there is not an error, as with Triton."""
        if arguments["region"]:
            self.regions.pop(arguments["region"], None)
        else:
            self.regions.clear()

    async def _status(self, arguments: Arguments) -> list[dict[str, Any]]:
        """region; empty for all. NotFound for one that is not there."""
        name = arguments["region"]
        found = [self.find(name)] if name else list(self.regions.values())
        return [r.to_json() for r in found]


class Access:
    """The regions as one request may use them: it reads no more than a body may hold. A gantline.wire Memory."""

    __slots__ = ("_left", "_shared")

    def __init__(self, shared: SharedMemory) -> None:
        self._shared = shared
        self._left = shared.max_bytes

    def read(self, place: Place) -> memoryview:
        self._left -= place.size
        if self._left < 0:
            raise TooLarge(
                f"the request's tensors in shared memory are larger than {self._shared.max_bytes} bytes; "
                "the server's --max-body-bytes bounds them"
            )
        return self._shared.find(place.region).read(place)

    def check(self, place: Place) -> None:
        self._shared.find(place.region).check(place)

    def write(self, place: Place, data: bytes) -> None:
        self._shared.find(place.region).write(place, data)


def _unregistered(arguments: Arguments) -> Undo:
    return Undo("shared_memory_unregister", {"region": arguments["region"]}, undoes=True)


def _subject(arguments: Arguments) -> str:
    return f"shared_memory:{arguments['region']}"
