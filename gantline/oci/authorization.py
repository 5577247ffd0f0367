"""Authorization: what a registry wants to see before it answers, and the tokens that we have for it.

Distribution's token protocol: a 401 names a realm, which gives a token for the scopes that are asked for.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from ..errors import BadArtefact, Denied
from .credentials import Credential, Credentials
from .reference import is_loopback

Scopes = tuple[str, ...]  # "repository:NAME:pull,push"
# method, URL, headers, body -> status and body; what asks a token server
Ask = Callable[[str, str, dict[str, str], bytes | None], tuple[int, bytes]]

# a parameter, or the word that begins a challenge
_WORD = re.compile(r'([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))|([A-Za-z][\w-]*)')
_LIFE_S = 60.0  # of a token that does not say, as the protocol has it
_EARLY_S = 5.0  # renewed before it ends: a request takes a moment to arrive
_CLIENT = "gantline"


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a WWW-Authenticate header asks for."""

    scheme: str  # in lower case
    parameters: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Token:
    header: str
    until: float


class Authorization:
    """For one registry: learns from its 401s, keeps tokens by scope until they end."""

    def __init__(
        self, host: str, credentials: Credentials, ask: Ask, secure: bool, now: Callable[[], float] = time.monotonic
    ) -> None:
        """`host` as references say it; `secure`: the registry itself is reached by TLS."""
        self.host = host
        self._credentials = credentials
        self._ask = ask
        self._secure = secure
        self._now = now
        self._challenge: Challenge | None = None
        self._tokens: dict[Scopes, _Token] = {}
        self._lock = threading.Lock()  # one asks for a token; the others take it

    def header(self, scopes: Scopes) -> str | None:
        """The value of an Authorization header; None as long as the registry has not asked. Denied if there is none."""
        with self._lock:
            if self._challenge is None:
                return None
            if self._challenge.scheme == "basic":
                found = self._credential(scopes)
                return found.basic if found is not None and found.user else None
            kept = self._tokens.get(scopes)
            if kept is None or kept.until <= self._now():
                kept = self._tokens[scopes] = self._fetch(self._challenge, scopes)
            return kept.header

    def refused(self, challenges: list[str], scopes: Scopes, sent: str | None) -> bool:
        """After a 401 to a request that had `sent`: whether it is worth another try with what `header` says then."""
        found = {c.scheme: c for text in challenges for c in parse(text)}
        chosen = found.get("bearer") or found.get("basic")
        if chosen is None or (chosen.scheme == "bearer" and not chosen.parameters.get("realm")):
            return False
        with self._lock:
            kept = self._tokens.get(scopes)
            if kept is not None and kept.header == sent:
                del self._tokens[scopes]
            self._challenge = chosen
            return chosen.scheme == "bearer" or (sent is None and self._credential(scopes) is not None)

    def denied(self, said: str, scopes: Scopes) -> Denied:
        """What to tell a person whom the registry refuses."""
        found = self._credential(scopes)
        who = f" as {found.user!r}" if found and found.user else "" if found else ", and nothing here says who you are"
        troubles = "".join(f"; {t}" for t in self._credentials.troubles)
        return Denied(
            f"registry {self.host}: not authorized{who}{f' ({said})' if said else ''}; type `docker login {self.host}` "
            f"or `podman login {self.host}`, or set GANTLINE_REGISTRY_HOST, _USER and _PASSWORD{troubles}"
        )

    def _credential(self, scopes: Scopes) -> Credential | None:
        repository = next((s.split(":")[1] for s in scopes if s.count(":") >= 2), "")
        return self._credentials.find(self.host, repository)

    def _fetch(self, challenge: Challenge, scopes: Scopes) -> _Token:
        realm = challenge.parameters["realm"]
        credential = self._credential(scopes)
        self._check_realm(realm, credential)
        asked = [("service", challenge.parameters["service"])] if challenge.parameters.get("service") else []
        headers = {"Accept": "application/json"}
        body = None
        method = "GET"
        if credential is not None and credential.identity_token:
            form = [*asked, ("scope", " ".join(scopes)), ("grant_type", "refresh_token"), ("client_id", _CLIENT)]
            method, body = "POST", urlencode([*form, ("refresh_token", credential.identity_token)]).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        else:
            query = [*asked, *(("scope", s) for s in scopes)]
            if credential is not None:
                query.append(("account", credential.user))
                headers["Authorization"] = credential.basic
            realm += ("&" if urlsplit(realm).query else "?") + urlencode(query)
        status, data = self._ask(method, realm, headers, body)
        if status in (400, 401, 403):
            raise self.denied(f"its token server answers {status}", scopes)
        return self._token(status, data)

    def _check_realm(self, realm: str, credential: Credential | None) -> None:
        try:
            parts = urlsplit(realm)
        except ValueError as e:  # half of an IPv6 address
            raise BadArtefact(f"{self.host}: sends us to {realm!r:.120} for a token: {e}") from e
        if not re.fullmatch(r"[\x21-\x7e]+", realm):
            raise BadArtefact(f"{self.host}: sends us to {realm!r:.120} for a token, which is no address")
        safe = parts.scheme == "https" or is_loopback(parts.netloc) or not self._secure
        if parts.scheme not in ("http", "https") or (credential is not None and not safe):
            raise Denied(f"{self.host}: sends us to {realm!r:.120} for a token, where a password would not be safe")

    def _token(self, status: int, data: bytes) -> _Token:
        where = f"{self.host}: its token server"
        try:
            tree = json.loads(data) if status == 200 else {}
            text = tree.get("token") or tree.get("access_token")
            life = float(tree.get("expires_in") or _LIFE_S)
        except (ValueError, AttributeError, TypeError, OverflowError, RecursionError) as e:
            raise BadArtefact(f"{where} answered no JSON object") from e
        if not isinstance(text, str) or not re.fullmatch(r"[\x21-\x7e]+", text):
            raise BadArtefact(f"{where} answered {status} and no token")
        return _Token(f"Bearer {text}", self._now() + max(life - _EARLY_S, life / 2))


def parse(text: str) -> list[Challenge]:
    """A WWW-Authenticate header: one challenge, or several with commas between."""
    found: list[Challenge] = []
    for name, quoted, bare, scheme in _WORD.findall(text):
        if scheme:
            found.append(Challenge(scheme.lower(), {}))
        elif found:
            found[-1].parameters[name.lower()] = re.sub(r"\\(.)", r"\1", quoted) or bare
    return found
