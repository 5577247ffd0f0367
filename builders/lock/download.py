"""Download: one file over HTTP, resumed where it was cut, with the passwords and proxies of the indexes."""

from __future__ import annotations

import base64
import errno
import http.client
import os
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

from gantline import __version__
from gantline.errors import Denied, GantlineError, NotFound, Unavailable, Unreachable, VerificationFailed

from .sources import Sources, bare

LONGEST_PAGE = 64 << 20  # bytes; the longest of PyPI's has 20 MB
_PIECE = 1 << 18
_TRIES = 5  # without a byte in between
_LONGEST_S = 30.0  # that a server may have us wait
_FULL = (errno.ENOSPC, errno.EDQUOT)  # the disk, or this user's share of it
_BUSY = (408, 425, 429, 500, 502, 503, 504)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Passwords go no further than the host that they are for."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        to = super().redirect_request(req, fp, code, msg, headers, newurl)
        if to is not None and urlsplit(urljoin(req.full_url, newurl))[:2] != urlsplit(req.full_url)[:2]:
            to.remove_header("Authorization")
        return to


class Downloader:
    """Asks as `sources` says. Threads may share one. `wait` sleeps between tries."""

    def __init__(self, sources: Sources, wait: Callable[[float], None] = time.sleep) -> None:
        self._sources = sources
        self._wait = wait
        proxies = {"http": sources.proxy, "https": sources.proxy} if sources.proxy else None
        self._handlers = (urllib.request.ProxyHandler(proxies), _Redirects())
        self._openers: dict[str, urllib.request.OpenerDirector] = {}

    def size(self, url: str) -> int:
        """What the server says that a file has in bytes; 0 where it does not say."""
        try:
            with self._open(url, {}, "HEAD") as response:
                return int(response.headers.get("Content-Length") or 0)
        except urllib.error.HTTPError as e:
            e.close()
            return 0
        except (OSError, http.client.HTTPException, ValueError):
            return 0

    def allowed(self, url: str) -> bool:
        """Whether the server lets us in; true where it does not answer at all, which is another problem."""
        try:
            self._open(url, {}, "HEAD").close()
        except urllib.error.HTTPError as e:
            e.close()
            return e.code not in (401, 403, 407)
        except (OSError, http.client.HTTPException, ValueError):
            return True
        return True

    def read(self, url: str, accept: str) -> bytes:
        """A page, whole. Unreachable, Denied, NotFound say what the server did; there is no second try."""
        try:
            with self._open(url, {"Accept": accept}) as response:
                found: bytes = response.read(LONGEST_PAGE + 1)
        except urllib.error.HTTPError as e:
            with e:
                raise Unreachable(f"{bare(url)}: {self._answered(url, e)}") from e
        except (OSError, http.client.HTTPException) as e:
            raise Unreachable(f"{bare(url)}: {getattr(e, 'reason', e)}") from e
        if len(found) > LONGEST_PAGE:
            raise Unreachable(f"{bare(url)}: longer than {LONGEST_PAGE} bytes")
        return found

    def fetch(self, url: str, into: Path, size: int, told: Callable[[int], None]) -> None:
        """Fill `into`, which may hold the beginning. `told` gets the number of bytes at each step; `size` 0: unknown.

        Denied, NotFound, Unreachable say what the server did; Unavailable: no room. What came is left to go on from.
        """
        tries = 0
        while True:
            before = into.stat().st_size if into.exists() else 0
            try:
                if self._go_on(url, into, before, size, told):
                    return
                problem = "the connection was cut"
            except urllib.error.HTTPError as e:
                with e:
                    problem = self._answered(url, e)
            except (OSError, http.client.HTTPException) as e:
                if isinstance(e, OSError) and e.errno in _FULL:
                    raise no_room(into, e) from e
                problem = str(getattr(e, "reason", e)) or type(e).__name__
            after = into.stat().st_size if into.exists() else 0
            tries = tries + 1 if after <= before else 1
            if tries >= _TRIES:
                raise Unreachable(f"{bare(url)}: {problem}, {_TRIES} times; try again: what came is kept")
            self._wait(min(_LONGEST_S, 0.2 * 2**tries))

    def _go_on(self, url: str, into: Path, have: int, size: int, told: Callable[[int], None]) -> bool:
        """Whether the file is whole now."""
        if size and have == size:
            return True
        with self._open(url, {"Range": f"bytes={have}-"} if have else {}) as response:
            if response.status != 206 or not _starts_at(response, have):
                have = 0
            expected = size or have + int(response.headers.get("Content-Length") or 0)
            with into.open("r+b" if have else "wb") as f:
                f.seek(have)
                if have:
                    f.truncate()
                while piece := response.read(_PIECE):
                    have += len(piece)
                    if size and have > size:
                        raise VerificationFailed(f"{bare(url)}: longer than the {size} bytes that the lock says")
                    f.write(piece)
                    told(len(piece))
            if size and have < size and have == _whole(response):
                raise VerificationFailed(f"{bare(url)}: is {have} bytes, the lock says {size}")
        return not expected or have == expected

    def _answered(self, url: str, error: urllib.error.HTTPError) -> str:
        """What to call a status that another try may mend; raises what none does."""
        shown = bare(url)
        if error.code in (401, 403, 407):
            raise Denied(
                f"{shown}: {error.code} {error.reason}; write NAME:PASSWORD@ into the index's URL, "
                "or an entry into ~/.netrc"
            ) from error
        if error.code in (404, 410):
            raise NotFound(f"{shown}: is no longer there ({error.code}); run `gantline lock` again") from error
        if error.code == 416:
            return "the server does not go on where it was cut"
        if error.code not in _BUSY:
            raise Unreachable(f"{shown}: {error.code} {error.reason}") from error
        pause = error.headers.get("Retry-After", "") if error.headers else ""
        if re.fullmatch(r"\d{1,6}", pause):
            self._wait(min(_LONGEST_S, float(pause)))
        return f"{error.code} {error.reason}"

    def _open(self, url: str, headers: dict[str, str], method: str = "GET") -> Any:
        request = urllib.request.Request(bare(url), headers=headers, method=method)
        request.add_header("Accept-Encoding", "identity")
        request.add_header("User-Agent", f"gantline/{__version__}")
        known = self._sources.credentials(url)
        if known is not None:
            request.add_header("Authorization", "Basic " + base64.b64encode(":".join(known).encode()).decode())
        return self._opener(url).open(request, timeout=self._sources.timeout_s)

    def _opener(self, url: str) -> urllib.request.OpenerDirector:
        parts = urlsplit(url)
        trusted = {parts.hostname, parts.netloc.rpartition("@")[2]} & set(self._sources.trusted)
        # reading certificates takes 30 ms, which plain HTTP need not pay
        kind = "http" if parts.scheme == "http" else "unchecked" if trusted else "checked"
        if kind not in self._openers:
            handlers = [] if kind == "http" else [_https(self._sources, kind == "checked")]
            self._openers[kind] = urllib.request.build_opener(*self._handlers, *handlers)
        return self._openers[kind]


def _https(sources: Sources, checked: bool) -> urllib.request.HTTPSHandler:
    try:
        context = ssl.create_default_context(cafile=sources.certificates or None)
        if sources.client_certificate:
            context.load_cert_chain(sources.client_certificate)
    except OSError as e:
        name = sources.client_certificate or sources.certificates
        raise Unavailable(f"certificate {name}: cannot be read ({e.strerror or e})") from e
    if not checked:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return urllib.request.HTTPSHandler(context=context)


def _whole(response: Any) -> int:
    """What the server says that the whole file has in bytes; -1 where it does not say."""
    total = response.headers.get("Content-Range", "").rpartition("/")[2] or response.headers.get("Content-Length") or ""
    return int(total) if total.isdigit() else -1


def _starts_at(response: Any, have: int) -> bool:
    return bool(re.match(rf"bytes {have}-", response.headers.get("Content-Range", "")))


def no_room(path: Path, error: OSError) -> GantlineError:
    """The error for a disk that takes no more, or nothing."""
    what = os.strerror(error.errno).lower() if error.errno else str(error)
    if error.errno in _FULL:
        return Unavailable(f"{path.parent}: {what}; free some, or set GANTLINE_HOME to another disk")
    return Unavailable(f"{path.parent}: cannot be written ({what}); set GANTLINE_HOME, or name another directory")
