"""KeySet: the API keys that a server knows, from the text of a keys file. Pure: no file is opened here.

A secret is kept as its SHA-256. It needs no salt and no slow hash: those protect words that people think of, and what
`gantline keys` makes are 256 random bits.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from gantline.errors import UsageError
from gantline.setting import nearest

MAX_KEYS = 1000  # all of them are compared for every new caller
MAX_BYTES = 1 << 20  # of a keys file
SHORTEST = 20  # characters of a secret that somebody else has made
PREFIX = "gantline_"  # so that people and scanners know one when they see it
_HASHED = "sha256:"
NAMES = "a name has at most 64 letters, digits, '-' and '_'"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SECRET = re.compile(r"[!-~]+")  # what a header can carry, without spaces
_FIELDS = ("role", "primary", "secondary", "models", "tenant")


class Role(IntEnum):
    """What a key may do, or what something asks for; each includes those before it."""

    SCORE = 1
    ADMIN = 2
    NOBODY = 3  # no key has it


@dataclass(frozen=True, slots=True)
class Key:
    """One entry. `models` None: all of them. `tenant` is whose share of a busy server its requests take."""

    name: str
    role: Role
    digests: tuple[bytes, ...]  # SHA-256 of the primary secret and, if there is one, of the secondary
    models: frozenset[str] | None = None
    tenant: bytes = b""


class KeySet:
    """The keys of one version of a file. Its identity is the version: whoever was let in by another is asked again."""

    def __init__(self, keys: Mapping[str, Key]) -> None:
        self._keys = dict(keys)

    @property
    def names(self) -> list[str]:
        return list(self._keys)

    def __getitem__(self, name: str) -> Key:
        return self._keys[name]

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, secret: bytes) -> Key | None:
        """The key with this secret, in a time that does not depend on which it is nor on how nearly it fits."""
        digest = hashlib.sha256(secret).digest()
        found = None
        for key in self._keys.values():
            for known in key.digests:
                if hmac.compare_digest(known, digest):
                    found = key
        return found


def new_secret() -> str:
    """256 random bits in letters that need no quoting anywhere."""
    return PREFIX + base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()


def hashed(secret: str) -> str:
    """A secret as a keys file holds it."""
    return _HASHED + hashlib.sha256(secret.encode()).hexdigest()


def parse(text: str, where: str) -> KeySet:
    """The keys in a file's text. UsageError names `where`, the entry and what is wrong, and never quotes a value."""
    try:
        tree = tomllib.loads(text)
    except (ValueError, RecursionError) as e:
        at = re.search(r"line \d+", str(e))  # the rest of the message may quote the file
        raise UsageError(f"{where}: not TOML{f' at {at[0]}' if at else ''}") from None
    _known(tree, ("key",), where, "table")
    entries = tree.get("key")
    if not isinstance(entries, dict) or not entries:
        raise UsageError(f"{where}: no keys; `gantline keys new` makes one")
    if len(entries) > MAX_KEYS:
        raise UsageError(f"{where}: {len(entries)} keys, at most {MAX_KEYS} are compared for each caller")
    keys = {name: _key(name, entry, f"{where} [key.{name}]") for name, entry in entries.items()}
    owners: dict[bytes, str] = {}
    for key in keys.values():
        for digest in key.digests:
            if (other := owners.setdefault(digest, key.name)) != key.name:
                raise UsageError(f"{where} [key.{key.name}]: has a secret of [key.{other}]; each needs its own")
    return KeySet(keys)


def _key(name: str, entry: Any, where: str) -> Key:
    if not NAME.fullmatch(name):
        raise UsageError(f"{where}: {NAMES}")
    if not isinstance(entry, dict):
        raise UsageError(f"{where}: expected a table")
    _known(entry, _FIELDS, where, "field")
    role = entry.get("role")
    if role not in ("score", "admin"):
        raise UsageError(f'{where} role: expected "score" or "admin"')
    digests = tuple(_digest(entry[field], f"{where} {field}") for field in ("primary", "secondary") if field in entry)
    if "primary" not in entry:
        raise UsageError(f"{where}: no primary secret")
    if len(digests) != len(set(digests)):
        raise UsageError(f"{where}: primary and secondary are the same")
    models = entry.get("models")
    if models is not None and not (isinstance(models, list) and models and all(isinstance(m, str) for m in models)):
        raise UsageError(f"{where} models: expected a list of model names")
    tenant = entry.get("tenant", "")
    if not isinstance(tenant, str) or not re.fullmatch(r"[!-~]{0,128}", tenant):
        raise UsageError(f"{where} tenant: expected at most 128 visible ASCII characters")
    return Key(name, Role[role.upper()], digests, frozenset(models) if models else None, tenant.encode())


def _digest(value: Any, where: str) -> bytes:
    if not isinstance(value, str):
        raise UsageError(f"{where}: expected text")
    if value.startswith(_HASHED):
        digits = value.removeprefix(_HASHED)
        if not _DIGEST.fullmatch(digits):
            raise UsageError(f"{where}: expected 64 hexadecimal digits in lower case after {_HASHED!r}")
        return bytes.fromhex(digits)
    if len(value) < SHORTEST or not _SECRET.fullmatch(value):
        raise UsageError(
            f"{where}: a secret has {SHORTEST} or more visible ASCII characters, or is written as {_HASHED}..."
        )
    return hashlib.sha256(value.encode()).digest()


def _known(given: Mapping[str, Any], known: tuple[str, ...], where: str, what: str) -> None:
    for name in given:
        if name not in known:
            # a secret could be in the wrong place
            shown = f" {name!r}; {nearest(name, known)}" if len(name) < SHORTEST else f"; known: {', '.join(known)}"
            raise UsageError(f"{where}: unknown {what}{shown}")


def written(keys: KeySet) -> str:
    """A keys file with the same keys, each secret by its digest: whoever reads it can ask nothing."""
    lines = []
    for key in (keys[name] for name in keys.names):
        lines += [f"[key.{key.name}]", f'role = "{key.role.name.lower()}"']
        lines += [
            f'{kind} = "{_HASHED}{digest.hex()}"'
            for kind, digest in zip(("primary", "secondary"), key.digests, strict=False)
        ]
        if key.models is not None:
            # JSON's strings are TOML's, too
            lines.append(f"models = [{', '.join(json.dumps(m, ensure_ascii=False) for m in sorted(key.models))}]")
        if key.tenant:
            lines.append(f"tenant = {json.dumps(key.tenant.decode())}")
        lines.append("")
    return "\n".join(lines)
