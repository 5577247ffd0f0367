"""Transport: calls to one registry: what it wants to see is shown, redirects followed, and waited where that helps."""

from __future__ import annotations

import json
import random
import re
import threading
import time
from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit, urlunsplit

from ..errors import (
    BadArtefact,
    Denied,
    GantlineError,
    NotFound,
    Overloaded,
    Unavailable,
    Unreachable,
    Unsupported,
)
from .authorization import Authorization, Scopes
from .connections import Body, Bytes, Connections, Cut, Response, Stopped
from .credentials import Credentials
from .patience import PASSING, Patience, retry_after
from .reference import Reference, is_loopback
from .wiring import Endpoint, Wiring

_REDIRECTS = 5
_ROUNDS = 3  # requests until a registry's 401 is believed: without a token, with one that ended, with a new one
_MOVED = (301, 302, 303, 307, 308)
_AGENT = "gantline"
_TLS = "; if it speaks TLS, leave out --plain-http"


class Transport:
    """One registry. Workers share it: connections, tokens and the wish to stop are common to them."""

    def __init__(
        self,
        host: str,
        api_host: str,
        wiring: Wiring | None = None,
        credentials: Credentials | None = None,
        patience: Patience | None = None,
    ) -> None:
        """`host` as references say it, `api_host` where it answers. Nothing is sent before the first call."""
        self.host = host
        self.patience = patience or Patience()
        self._api_host = api_host
        self._wiring = wiring or Wiring()
        self._connections = Connections(self._wiring)
        self._credentials = credentials or Credentials()
        self._base = ""
        self._lock = threading.Lock()
        self._authorization: Authorization | None = None
        self._reached = False  # it has answered before: that it is silent now may pass
        self._chance = random.Random()

    @classmethod
    def of(cls, reference: Reference, wiring: Wiring | None = None, patience: Patience | None = None) -> Transport:
        """To the registry of a reference, with this user's credentials."""
        return cls(reference.host, reference.api_host, wiring, None, patience)

    def __enter__(self) -> Transport:
        return self

    def __exit__(self, *exc: object) -> None:
        self._connections.close()

    def stop(self) -> None:
        """End the calls that run, with Stopped, and refuse new ones."""
        self._connections.stop()

    @property
    def base(self) -> str:
        """`https://HOST`, or `http://HOST` where that is allowed and spoken."""
        with self._lock:
            if not self._base:
                self._base = f"{self._scheme()}://{self._api_host}"
            return self._base

    def _scheme(self) -> str:
        if self._wiring.plain_http:
            return "http"
        if not is_loopback(self._api_host) or self._wiring.ca_file:
            return "https"
        # on this machine either may be spoken: asked without saying who we are, a TLS server does not answer 200 or 401
        try:
            with self._connections.exchange("GET", f"http://{self._api_host}/v2/", {"User-Agent": _AGENT}) as found:
                return "http" if found.status != 400 else "https"
        except Cut as e:
            if e.fresh:
                raise self.unreachable(e) from e
            return "https"

    def call(
        self,
        method: str,
        url: str,
        scopes: Scopes,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        most: int = 0,
    ) -> Response:
        """An answer, whatever it says, tried again while that may help. Unreachable, Denied, Overloaded, Unavailable.

        For what may be sent twice; `once` is for what may not. `most`: so much of the answer's body is read at once,
        so that a cut in the middle of it, too, is tried again.
        """
        failures = 0
        error: GantlineError
        while True:
            try:
                response = self.once(method, url, scopes, headers, body, again=True)
                if response.status not in PASSING:
                    if most:
                        _load(response, most)
                    return response
                with response:
                    error, asked = self.passing(response), retry_after(response.headers.get("Retry-After"), time.time())
            except Cut as e:
                error, asked = self.unreachable(e), None
                if e.trust or (e.fresh and not self._reached):
                    raise error from e
            failures += 1
            self.pause(failures, asked, error)

    def pause(self, failures: int, asked_s: float | None, error: GantlineError) -> None:
        """Wait before another try, or raise `error` if there have been enough. Stopped while it waits."""
        wait = self.patience.wait(failures, asked_s, self._chance.random())
        if wait is None:
            raise error
        self.rest(wait)

    def rest(self, seconds: float) -> None:
        """Wait. Stopped if that is wished."""
        if self._connections.stopped.wait(seconds):
            raise Stopped

    def once(
        self,
        method: str,
        url: str,
        scopes: Scopes,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        again: bool = False,
    ) -> Response:
        """An answer without patience; Cut if there is none. 401 leads to tokens, 30x to where it points.

        `again`: no harm is done when a dead connection is only noticed after sending.
        """
        said = {"User-Agent": _AGENT, **(headers or {})}
        at = urljoin(self.base + "/", url)
        redirects = rounds = 0
        while True:
            ours = self._is_registry(at)
            sent = self._authority().header(scopes) if ours else None
            shown = {**said, "Authorization": sent} if sent else said
            response = self._connections.exchange(method, at, shown, body, again)
            self._reached = True
            if response.status == 401 and ours:
                rounds += 1
                self._learn(response, scopes, sent, rounds)
            elif response.status in _MOVED and (method in ("GET", "HEAD") or response.status in (307, 308)):
                redirects += 1
                at = self._next(at, response, redirects)
            else:
                return response

    def _authority(self) -> Authorization:
        secure = self.base.startswith("https:")
        with self._lock:
            if self._authorization is None:
                self._authorization = Authorization(self.host, self._credentials, self._ask, secure)
            return self._authorization

    def _learn(self, response: Response, scopes: Scopes, sent: str | None, rounds: int) -> None:
        challenges = response.headers.get_all("WWW-Authenticate") or []
        with response:
            said = words_of(response)
        if rounds >= _ROUNDS or not self._authority().refused(challenges, scopes, sent):
            raise self._authority().denied(said, scopes)

    def _ask(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> tuple[int, bytes]:
        """A token server, which is no part of the registry: nothing of ours goes there but what `headers` says."""
        failures = 0
        while True:
            error: GantlineError
            try:
                sent = {"User-Agent": _AGENT, **headers}
                with self._connections.exchange(method, url, sent, Bytes(body) if body is not None else None) as found:
                    if found.status not in PASSING:
                        return found.status, found.read(1 << 20)
                    error, asked = self.passing(found), retry_after(found.headers.get("Retry-After"), time.time())
            except Cut as e:
                error, asked = Unreachable(f"{Endpoint.of(url)}, where {self.host} sends for tokens: {e.reason}"), None
                if e.trust or e.fresh:
                    raise error from e
            failures += 1
            self.pause(failures, asked, error)

    def _is_registry(self, url: str) -> bool:
        return Endpoint.of(url) == Endpoint.of(self.base)

    def _next(self, at: str, response: Response, redirects: int) -> str:
        """Where a redirect points."""
        location = response.headers.get("Location")
        response.close()
        if not location or redirects > _REDIRECTS:
            raise BadArtefact(f"{self.host}: redirects {'without end' if location else 'nowhere'}")
        return self.resolve(at, location)

    def resolve(self, at: str, location: str) -> str:
        """A Location header, seen from the URL that it came from. What began by TLS goes on so.

        A registry behind a proxy that speaks TLS for it may call itself http.
        """
        try:
            found = urljoin(at, location)
        except ValueError as e:  # half of an IPv6 address
            raise BadArtefact(f"{self.host}: sends us to {location!r:.120}: {e}") from e
        if not re.fullmatch(r"[\x21-\x7e]+", found):
            raise BadArtefact(f"{self.host}: sends us to {location!r:.120}, which is no address")
        if at.startswith("https:") and found.startswith("http:"):
            parts = urlsplit(found)
            if parts.hostname != urlsplit(at).hostname:
                raise Denied(f"{self.host}: sends us to {found!r:.120}, which is not encrypted")
            found = urlunsplit(parts._replace(scheme="https", netloc=urlsplit(at).netloc))
        elif urlsplit(found).scheme not in ("http", "https"):
            raise BadArtefact(f"{self.host}: sends us to {found!r:.120}")
        return found

    def unreachable(self, cut: Cut) -> Unreachable:
        """What to tell a person of a connection that failed."""
        tls = self._wiring.plain_http and not (self._reached or cut.fresh)
        return Unreachable(f"registry {self.host}: {cut.reason}{_TLS if tls else ''}")

    def passing(self, response: Response) -> Unavailable:
        """What to tell a person of a registry that has no time now."""
        said = words_of(response)
        if response.status == 429:
            wait = retry_after(response.headers.get("Retry-After"), time.time())
            when = f"in {wait:.0f} s" if wait else "later"
            return Overloaded(
                f"registry {self.host}: too many requests{said and f' ({said})'}; try again {when}, or log in for more",
                "rate",
                wait or 1.0,
            )
        return Unavailable(f"registry {self.host}: answers {response.status}{said and f' ({said})'}; try again later")

    def refusal(self, response: Response, doing: str) -> GantlineError:
        """What to tell a person of an answer that was not hoped for; the response is read, and closed."""
        status, said = response.status, words_of(response)
        response.close()
        text = f"registry {self.host}: {doing}: {status}{said and f' ({said})'}"
        if status == 403:
            return Denied(f"{text}; this user may not", known=True)
        if status == 404:
            return NotFound(text)
        if status in (405, 415, 501):
            return Unsupported(text)
        if status in PASSING or status >= 500:  # 507, say: its disk is full
            return Unavailable(f"{text}; try again later")
        tls = status == 400 and not said and self.base.startswith("http:")
        return BadArtefact(f"{text}{_TLS if tls else ''}")


def _load(response: Response, most: int) -> None:
    try:
        response.load(most)
    except BaseException:
        response.close()
        raise


def words_of(response: Response) -> str:
    """What an error's body says, in a line: `DENIED: requested access to the resource is denied`."""
    try:
        tree = json.loads(response.read(1 << 16) or b"{}")
        first = tree["errors"][0]
        words = f"{first.get('code', '')}: {first.get('message', '')}".strip(": ")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError, Cut):
        return ""
    return " ".join(words.split())[:200]
