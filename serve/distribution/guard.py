"""Guard: who may pull and who may push, by the same keys as a server of models has: role score pulls, admin pushes.

Clients of registries know names and passwords: any name, with a key's secret as the password (`docker login`), or the
secret as a bearer token.
"""

from __future__ import annotations

import base64
import binascii

from starlette.requests import Request

from ..key_file import KeyFile
from ..keys import Key, KeySet, Role
from .refusal import Refusal

_ASK = {"WWW-Authenticate": 'Basic realm="gantline"'}
_READING = ("GET", "HEAD")


class Guard:
    """`keys` None: everybody may do everything."""

    def __init__(self, keys: KeyFile | None) -> None:
        self._file = keys
        self._keys: KeySet | None = keys.read() if keys is not None else None

    def look(self) -> bool:
        """Read the file again if it has changed; whether it had."""
        changed = self._file.changed() if self._file is not None else None
        if changed is not None:
            self._keys = changed
        return changed is not None

    def admit(self, request: Request, method: str, repository: str | None) -> None:
        """Refusal: 401 without a key of ours, 403 where it may not do this or not here."""
        if self._keys is None:
            return
        key = self._key(request)
        needed = Role.SCORE if method in _READING else Role.ADMIN
        if key.role < needed:
            raise Refusal(403, "DENIED", f"key {key.name!r} may pull and not push; role admin may")
        if repository is not None and not _may(key, repository):
            raise Refusal(403, "DENIED", f"key {key.name!r} is not for repository {repository}")

    def shows(self, request: Request, repository: str) -> bool:
        """Whether a repository is in the list for whoever asks."""
        return self._keys is None or _may(self._key(request), repository)

    def _key(self, request: Request) -> Key:
        assert self._keys is not None
        secret = _presented(request.headers.get("authorization", ""))
        found = self._keys.find(secret) if secret else None
        if found is None:
            raise Refusal(401, "UNAUTHORIZED", "log in: any name, and a key's secret as the password", _ASK)
        return found


def _may(key: Key, repository: str) -> bool:
    return key.models is None or repository in key.models


def _presented(header: str) -> bytes:
    scheme, _, rest = header.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip().encode("latin-1", "replace")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(rest.strip(), validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""
