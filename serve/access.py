"""Access: who may do what. One table of roles for HTTP, one for gRPC; what stands in neither is refused to everybody.

Keys come as `Authorization: Bearer KEY` or `x-api-key: KEY`, in HTTP headers and gRPC metadata alike.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from urllib.parse import unquote

from gantline.errors import Denied

from .exchange import Head
from .keys import Key, KeySet, Role

PERIOD_S = 10.0  # between two lines about denials
_SHOWN = 300  # characters
CREDENTIALS = (b"authorization", b"x-api-key")
_log = logging.getLogger("gantline.access")
_ASK = "send a key as 'Authorization: Bearer KEY' or as 'x-api-key: KEY'"


@dataclass(frozen=True, slots=True)
class Rule:
    """The role that something needs. `every`: it is about all models, so a key of some models may not have it.

    `keyless`: the word in the setting of that name that opens it to everybody. `pages`: where there are no keys, other
    people's web pages may ask it, too; see serve.pages.
    """

    role: Role
    every: bool = False
    keyless: str = ""
    pages: bool = False


HEALTH = Rule(Role.SCORE, keyless="health", pages=True)
SHELL = Rule(Role.SCORE, keyless="health")  # a page without content: browsers cannot send a key for it
SCORE = Rule(Role.SCORE)
ASK = Rule(Role.SCORE, pages=True)  # what computes an answer, or says how to ask a script
EVERY = Rule(Role.SCORE, every=True)
METRICS = Rule(Role.SCORE, every=True, keyless="metrics")
ADMIN = Rule(Role.ADMIN)
SERVER = Rule(Role.ADMIN, every=True)  # what is set for all models
NOBODY = Rule(Role.NOBODY)

# by the path of a Starlette route
HTTP: dict[str, Rule] = {
    "/": HEALTH,
    "/v2/health/live": HEALTH,
    "/v2/health/ready": HEALTH,
    "/v2": SCORE,
    "/v2/": SCORE,
    "/v2/models/stats": EVERY,
    "/v2/models/{name}": SCORE,
    "/v2/models/{name}/ready": SCORE,
    "/v2/models/{name}/config": SCORE,
    "/v2/models/{name}/stats": SCORE,
    "/v2/models/{name}/dispatch": SCORE,
    "/v2/models/{name}/infer": ASK,
    "/v2/models/{name}/generate": ASK,
    "/v2/models/{name}/generate_stream": ASK,
    "/v2/models/{name}/versions/{version}": SCORE,
    "/v2/models/{name}/versions/{version}/ready": SCORE,
    "/v2/models/{name}/versions/{version}/config": SCORE,
    "/v2/models/{name}/versions/{version}/stats": SCORE,
    "/v2/models/{name}/versions/{version}/dispatch": SCORE,
    "/v2/models/{name}/versions/{version}/infer": ASK,
    "/v2/models/{name}/versions/{version}/generate": ASK,
    "/v2/models/{name}/versions/{version}/generate_stream": ASK,
    "/v1/models": EVERY,
    "/v1/models/{name}": SCORE,
    "/v1/models/{name}/metadata": SCORE,
    "/v1/models/{name}:predict": ASK,
    "/v1/models/{name}:explain": ASK,
    "/v1/models/{name}:classify": ASK,
    "/v1/models/{name}:regress": ASK,
    "/v1/models/{name}/versions/{version}": SCORE,
    "/v1/models/{name}/versions/{version}/metadata": SCORE,
    "/v1/models/{name}/versions/{version}:predict": ASK,
    "/v1/models/{name}/versions/{version}:classify": ASK,
    "/v1/models/{name}/versions/{version}:regress": ASK,
    "/v1/models/{name}/labels/{label}": SCORE,
    "/v1/models/{name}/labels/{label}/metadata": SCORE,
    "/v1/models/{name}/labels/{label}:predict": ASK,
    "/v2/repository/index": EVERY,
    "/v2/repository/memory": EVERY,
    "/v2/repository/models/{name}/load": ADMIN,
    "/v2/repository/models/{name}/unload": ADMIN,
    "/v2/systemsharedmemory/status": SERVER,
    "/v2/systemsharedmemory/register": SERVER,
    "/v2/systemsharedmemory/unregister": SERVER,
    "/v2/systemsharedmemory/region/{region}/status": SERVER,
    "/v2/systemsharedmemory/region/{region}/register": SERVER,
    "/v2/systemsharedmemory/region/{region}/unregister": SERVER,
    "/v2/cudasharedmemory/status": SERVER,
    "/v2/cudasharedmemory/register": SERVER,
    "/v2/cudasharedmemory/unregister": SERVER,
    "/v2/cudasharedmemory/region/{region}/status": SERVER,
    "/v2/cudasharedmemory/region/{region}/register": SERVER,
    "/v2/cudasharedmemory/region/{region}/unregister": SERVER,
    "/v2/logging": SERVER,
    "/v2/trace/setting": SERVER,
    "/v2/models/{name}/trace/setting": ADMIN,
    "/metrics": METRICS,
    "/score": ASK,
    "/swagger.json": ASK,
    "/models/{name}/score": ASK,
    "/models/{name}/swagger.json": ASK,
    "/openapi.json": SCORE,  # both show a key for some models those models only
    "/docs/models": SCORE,
    "/docs/models/{name}": SCORE,
    "/docs/models/{name}/sample": SCORE,
    "/docs": SHELL,
    "/docs/page.css": SHELL,
    "/docs/icon.svg": SHELL,
    "/docs/{script}.js": SHELL,
    "/invocations": ASK,
    "/models/{name}/invoke": ASK,
    "/ping": HEALTH,
    "/health": HEALTH,
    "/version": HEALTH,
}


class Access:
    """Decides over heads. `keys` is replaced as a whole when the file changes; `keyless` is the setting's words."""

    def __init__(self, keys: KeySet, keyless: str, default: Callable[[], str]) -> None:
        self.keys = keys
        self.keyless = frozenset(keyless.split("+"))
        self.default = default  # the name of the model that /score means
        self.denials = Denials()

    def admit(self, head: Head, rule: Rule, name: str | None = None, noted: bool = True) -> None:
        """Mark the head as let in, or raise Denied. `name`: of the model that the router found in the path.

        `noted` false: somebody will ask again, and tell the log then.
        """
        if rule.keyless in self.keyless:
            return
        try:
            self._decide(head, rule, name)
        except Denied as e:
            if noted:
                self.denials.note(head, e, monotonic())
            raise

    def _decide(self, head: Head, rule: Rule, name: str | None) -> None:
        keys = self.keys
        key = self._key(head, keys)
        if rule.role is Role.NOBODY:
            _log.error("%s has no rule in serve/access.py, so nobody may call it", head.path.decode("latin-1"))
            raise Denied("refused to everybody: the server has no rule for it", known=True)
        if key.role < rule.role:
            raise Denied(f"key '{key.name}' has the role {key.role.name.lower()}; this needs admin", known=True)
        if key.models is not None:
            if rule.every:
                raise Denied(f"key '{key.name}' is for some models only; this is about all of them", known=True)
            for one in (name, model_in(head.path, self.default)):
                if one is not None:
                    allow(key, one)
        head.key, head.keys, head.wishes = key, keys, None

    def _key(self, head: Head, keys: KeySet) -> Key:
        secret = presented(head)
        if secret is None:
            raise Denied(f"no key; {_ASK}")
        key = keys.find(secret)
        if key is None:
            raise Denied(f"the key is not known here; {_ASK}")
        return key


class Denials:
    """Who was turned away: counted, and told to the log in a line at once, then one a period, whoever floods us."""

    def __init__(self) -> None:
        self.unauthenticated = self.forbidden = 0
        self._count = 0  # since the last line
        self._next = 0.0

    def note(self, head: Head, error: Denied, now: float) -> None:
        """One request. `now` in seconds."""
        self._count += 1
        if error.known:
            self.forbidden += 1
        else:
            self.unauthenticated += 1
        if now < self._next:
            return
        client = ":".join(map(str, head.client)) if head.client else "-"
        what = f"{head.method.decode('latin-1')} {head.path.decode('latin-1')}"[:_SHOWN]
        _log.warning(
            "denied: %s %s: %s (%d since the last such line)", client, what, error.message[:_SHOWN], self._count
        )
        self._count, self._next = 0, now + PERIOD_S


def allow(key: Key, model: str) -> None:
    """Denied for a model that the key is not for."""
    if key.models is not None and model not in key.models:
        raise Denied(f"key '{key.name}' is not for model '{model}'", known=True)


def presented(head: Head) -> bytes | None:
    """The secret that a head brings; x-api-key first, since a proxy may use Authorization for itself."""
    bearer = None
    for name, value in head.headers:
        if name == b"x-api-key" and (secret := value.strip()):
            return secret
        if name == b"authorization" and bearer is None:
            scheme, _, rest = value.strip().partition(b" ")
            if scheme.lower() == b"bearer":
                bearer = rest.strip()
    return bearer or None


def model_in(path: bytes, default: Callable[[], str]) -> str | None:
    """The model that handlers take from a raw path, as they read it; None for a path about none."""
    parts = [unquote(p) for p in path.decode("ascii", "replace").strip("/").split("/")]
    if parts[0] in ("score", "swagger.json", "invocations"):
        return default()
    if len(parts) > 2 and parts[:2] == ["v2", "models"] and parts[2:] != ["stats"]:
        return parts[2]
    if len(parts) > 2 and parts[:2] == ["v1", "models"]:
        return parts[2].rpartition(":")[0] or parts[2] if len(parts) == 3 else parts[2]
    return parts[1] if len(parts) > 1 and parts[0] == "models" else None
