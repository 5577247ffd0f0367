"""Downloads: files from a mirror, each kept by its digest and never asked for twice."""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gantline.blobs import sha256_file
from gantline.errors import BadArtefact, NotFound, Unavailable, Unreachable, UsageError, VerificationFailed

_TIMEOUT_S = 60.0
_ATTEMPTS = 3
_PAUSE_S = 0.5  # before the second attempt, and twice as long before each one after
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Downloads:
    """`folder` holds what was got. `offline` uses nothing but that."""

    folder: Path
    offline: bool = False
    pause: Callable[[float], None] = time.sleep

    def get(self, urls: Sequence[str], digest: str, size: int, limit: int) -> Path:
        """The file of a digest, from whichever of the places has it.

        NotFound, Unreachable, VerificationFailed; BadArtefact where it is longer than `limit` bytes.
        """
        kept = self.folder / digest.removeprefix("sha256:")
        if kept.is_file() and kept.stat().st_size == size and sha256_file(kept) == digest:
            return kept
        if size > limit:
            raise BadArtefact(f"{urls[-1]}: {size} bytes, and at most {limit} are taken")
        handle, name = self._begin()
        try:
            with os.fdopen(handle, "wb") as out:
                found = self._first(urls, size, out)
            if found != digest:
                raise VerificationFailed(f"{urls[-1]}: has digest {found}, and {digest} was expected")
            os.replace(name, kept)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(name)
        return kept

    def read(self, urls: Sequence[str], limit: int) -> bytes:
        """A file of which no digest is known, as it is now."""
        with tempfile.SpooledTemporaryFile(max_size=limit) as out:
            self._first(urls, limit, out)
            out.seek(0)
            return out.read()

    def _begin(self) -> tuple[int, str]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            return tempfile.mkstemp(prefix=".incoming.", dir=self.folder)
        except OSError as e:
            raise UsageError(f"{self.folder}: cannot be written: {e.strerror}; set GANTLINE_HOME elsewhere") from e

    def _first(self, urls: Sequence[str], limit: int, out: IO[bytes]) -> str:
        if self.offline:
            raise Unreachable(f"{urls[-1]}: not here yet, and offline was asked for")
        for url in urls[:-1]:
            with suppress(NotFound):
                return self._patient(url, limit, out)
        return self._patient(urls[-1], limit, out)

    def _patient(self, url: str, limit: int, out: IO[bytes]) -> str:
        """Fetch, again after a pause where that may help."""
        error = ""
        for attempt in range(_ATTEMPTS):
            out.seek(0)
            out.truncate()
            try:
                return _fetch(url, limit, out)
            except urllib.error.HTTPError as e:
                if e.code in (404, 410):
                    raise NotFound(f"{url}: is not there ({e.code})") from e
                error = f"answered {e.code} {e.reason}"
                if e.code < 500 and e.code != 429:
                    break
            except (OSError, http.client.HTTPException) as e:  # URLError is an OSError
                if getattr(e, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
                    raise Unavailable(f"{self.folder}: no space left; free some, or set GANTLINE_HOME elsewhere") from e
                error = str(getattr(e, "reason", "") or e) or type(e).__name__
            if attempt + 1 < _ATTEMPTS:
                self.pause(_PAUSE_S * 2**attempt)
        raise Unreachable(f"{url}: {error}")


def _fetch(url: str, limit: int, out: IO[bytes]) -> str:
    """Write what a URL answers, at most so many bytes; its digest."""
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"{url:.200}: a mirror begins with http:// or https://")
    request = urllib.request.Request(url, headers={"User-Agent": "gantline"})
    digest, count = hashlib.sha256(), 0
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
        if url.startswith("https://") and not answer.geturl().startswith("https://"):
            raise Unreachable(f"{url}: leads away from HTTPS, to {answer.geturl():.200}")
        while chunk := answer.read(_CHUNK):
            count += len(chunk)
            if count > limit:
                raise BadArtefact(f"{url}: more than {limit} bytes")
            digest.update(chunk)
            out.write(chunk)
        expected = answer.headers.get("Content-Length")
        if expected is not None and expected.isdecimal() and count < int(expected):
            raise http.client.IncompleteRead(b"", int(expected) - count)
    return "sha256:" + digest.hexdigest()
