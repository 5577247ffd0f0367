"""Upload: one blob into a repository: mounted from another, or sent in chunks and gone on with after a cut."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ..blobs import sha256_file
from ..errors import BadArtefact, Denied, GantlineError, Unavailable, Unreachable
from .connections import Cut, Part, Response, Stopped, whole
from .descriptor import Descriptor
from .patience import PASSING, retry_after
from .remote import Remote
from .store import damaged
from .unfinished import Unfinished

CHUNK = 32 << 20  # bytes: what is sent again, at most, after a cut
_RANGE = re.compile(r"(?:bytes=)?0-(\d+)")
_NO_CHUNKS = (405, 411, 413, 415, 501)  # from registries that take a blob in one piece or not at all
_GONE = (400, 404)
_OCTETS = "application/octet-stream"


class _Interrupted(Exception):
    """What was under way did not end well, and may if it is gone on with."""

    def __init__(self, error: GantlineError, asked_s: float | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.asked_s = asked_s


@dataclass(frozen=True, slots=True)
class _Sent:
    """A part of a file, and somebody who is told how far into the file it has got."""

    part: Part
    moved: Callable[[int, int], None]

    @property
    def size(self) -> int:
        return self.part.size

    def pieces(self) -> Iterator[memoryview]:
        at = self.part.start
        for piece in self.part.pieces():
            yield piece
            at += len(piece)
            self.moved(at, len(piece))


class Upload:
    """One blob. `wire`: bytes of it that have been sent, those sent again included."""

    def __init__(
        self, remote: Remote, path: Path, descriptor: Descriptor, chunk: int = CHUNK, memory: Unfinished | None = None
    ) -> None:
        """`memory`: of an earlier process that sent the same blob, and for a later one."""
        self.wire = 0
        self._memory = memory if memory is not None and descriptor.size > chunk else Unfinished(None)
        self._remote = remote
        self._path = path
        self._blob = descriptor
        self._chunk = chunk
        self._location = self._memory.location
        self._at = 0  # the registry has so many bytes
        self._unsure = bool(self._location)  # whether it has: it is asked then
        self._inherited = bool(self._location)  # from an earlier process: there may be nobody any more
        self._whole = False  # send all in one request
        self._restarts = 0
        self._told: Callable[[int], None] = lambda at: None

    def run(self, mount_from: str = "", told: Callable[[int], None] = lambda at: None) -> bool:
        """Send it; True if it was mounted from another repository instead. `told` is where it stands, in bytes.

        Unreachable, Unavailable, Overloaded when patience ends; Denied; VerificationFailed. What fails is cancelled,
        unless it is remembered and may be gone on with.
        """
        self._told = told
        failures = furthest = 0
        try:
            while True:
                try:
                    mounted = self._go_on(mount_from)
                    self._memory.over()
                    return mounted
                except Cut as e:
                    if self._inherited:
                        self._restart()
                        continue
                    if e.trust:
                        raise self._remote.transport.unreachable(e) from e
                    interrupted = _Interrupted(self._remote.transport.unreachable(e))
                except _Interrupted as e:
                    interrupted = e
                failures = 1 if self._at > furthest else failures + 1
                furthest = max(furthest, self._at)
                self._unsure = True
                self._remote.transport.pause(failures, interrupted.asked_s, interrupted.error)
        except (Unreachable, Unavailable):
            if not self._memory.location:
                self._cancel()
            raise
        except GantlineError:
            self._cancel()
            raise

    def _go_on(self, mount_from: str) -> bool:
        if self._unsure:
            if self._location and self._remote.has_blob(self._blob.digest):
                return False  # it had ended well, and the answer was lost
            self._ask()
        if not self._location and self._begin(mount_from):
            return True
        if self._blob.size > self._chunk and not self._whole:
            while self._at < self._blob.size:
                if not self._patch():
                    return self._go_on("")
        self._close()
        return False

    def _begin(self, mount_from: str) -> bool:
        """A session; True if the blob could be mounted."""
        query = f"?mount={self._blob.digest}&from={mount_from}" if mount_from else ""
        scopes = self._remote.writes
        if mount_from:
            scopes = (*scopes, f"repository:{mount_from}:pull")
        url = self._remote.url(f"blobs/uploads/{query}")
        try:
            answer = self._remote.transport.call("POST", url, scopes, {"Content-Length": "0"})
        except Denied:
            if not mount_from:
                raise
            return self._begin("")  # who may not read there may write here
        with answer as found:
            if found.status == 201:
                return True
            if found.status in (401, 403, 404) and mount_from:
                return self._begin("")
            if found.status != 202:
                raise self._remote.transport.refusal(found, f"does not take blobs for {self._remote.repository}")
            self._follow(url, found)
            self._chunk = max(self._chunk, whole(found.headers.get("OCI-Chunk-Min-Length")) or 0)
        self._at, self._unsure = 0, False
        return False

    def _ask(self) -> None:
        """How much of it the registry has. If it does not know any more, all begins anew."""
        self._unsure = False
        if not self._location:
            return
        with self._once("GET", self._location) as found:
            self._passing(found)
            match = _RANGE.fullmatch(found.headers.get("Range", "")) if found.status in (200, 204) else None
            has = int(match[1]) + 1 if match and match[1] != "0" else 0
            if found.status not in (200, 204) or has > self._blob.size or self._whole:
                self._restart()
                return
            self._follow(self._location, found)
        self._at, self._inherited = has, False
        self._told(self._at)

    def _patch(self) -> bool:
        """Send the next chunk; False if all has to begin anew."""
        size = min(self._chunk, self._blob.size - self._at)
        headers = {"Content-Type": _OCTETS, "Content-Range": f"{self._at}-{self._at + size - 1}"}
        with self._once("PATCH", self._location, headers, self._part(size)) as found:
            self._passing(found)
            if found.status == 416:
                raise _Interrupted(self._remote.transport.refusal(found, f"{self._blob.digest} is not gone on with"))
            if found.status in (*_NO_CHUNKS, *_GONE):
                self._whole = found.status in _NO_CHUNKS or (self._at == 0 and self._restarts > 0)
                self._restart(found)
                return False
            if found.status not in (201, 202, 204):
                raise self._remote.transport.refusal(found, f"does not take {self._blob.digest}")
            self._follow(self._location, found)
            match = _RANGE.fullmatch(found.headers.get("Range", ""))
            has = int(match[1]) + 1 if match else self._at + size
        if has > self._at + size:  # bytes of an earlier try have arrived in between
            self._restart()
            return False
        self._at = has
        return True

    def _close(self) -> None:
        """Say what it is, with whatever has not been sent yet."""
        separator = "&" if urlsplit(self._location).query else "?"
        url = f"{self._location}{separator}digest={self._blob.digest}"
        body = self._part(self._blob.size - self._at)
        with self._once("PUT", url, {"Content-Type": _OCTETS}, body) as found:
            self._passing(found)
            if found.status in (200, 201, 202, 204):
                self._at = self._blob.size
                return
            if found.status not in _GONE and found.status != 416:
                raise self._remote.transport.refusal(found, f"does not take {self._blob.digest}")
            if sha256_file(self._path) != self._blob.digest:
                raise damaged(self._path)
            self._restart(found)
        raise _Interrupted(BadArtefact(f"registry {self._remote.transport.host}: kept other bytes than were sent"))

    def _restart(self, found: Response | None = None) -> None:
        """Forget what was sent."""
        self._restarts += 1
        if self._restarts > self._remote.transport.patience.tries:
            if found is not None:
                raise self._remote.transport.refusal(found, f"does not take {self._blob.digest}")
            raise BadArtefact(f"registry {self._remote.transport.host}: forgets uploads of {self._blob.digest}")
        self._location, self._at, self._inherited = "", 0, False
        self._memory.over()
        self._told(0)

    def _part(self, size: int) -> _Sent:
        def moved(at: int, count: int) -> None:
            self.wire += count
            self._told(at)

        return _Sent(Part(self._path, self._at, size), moved)

    def _once(
        self, method: str, url: str, headers: dict[str, str] | None = None, body: _Sent | None = None
    ) -> Response:
        return self._remote.transport.once(method, url, self._remote.writes, headers, body, again=body is None)

    def _follow(self, at: str, found: Response) -> None:
        location = found.headers.get("Location")
        if not location and not self._location:
            raise BadArtefact(f"registry {self._remote.transport.host}: begins an upload and does not say where")
        if location:
            self._location = self._remote.transport.resolve(at, location)
            self._memory.at(self._location)

    def _passing(self, found: Response) -> None:
        if found.status in PASSING:
            asked = retry_after(found.headers.get("Retry-After"), time.time())
            raise _Interrupted(self._remote.transport.passing(found), asked)

    def _cancel(self) -> None:
        """Let the registry forget what it has of it, if it can be told so."""
        self._memory.over()
        if self._location:
            with suppress(GantlineError, Cut, Stopped):
                self._once("DELETE", self._location).close()
