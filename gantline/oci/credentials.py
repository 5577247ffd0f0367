"""Credentials: who we are to a registry, from where `docker login` and `podman login` keep it, or from variables."""

from __future__ import annotations

import base64
import binascii
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..home import of_user
from .reference import DOCKER_HUB

USER = "GANTLINE_REGISTRY_USER"
PASSWORD = "GANTLINE_REGISTRY_PASSWORD"
HOST = "GANTLINE_REGISTRY_HOST"  # the one registry that the other two are for
VARIABLES = (HOST, USER, PASSWORD)
_HUB_KEY = "https://index.docker.io/v1/"  # what Docker calls its Hub in files and to helpers
_HUB_NAMES = (DOCKER_HUB, "index.docker.io", "registry-1.docker.io")
_HELPER_S = 60.0  # a helper may ask a person to unlock a key ring
_TOKEN_USER = "<token>"  # what helpers say for a user when the secret is an identity token


@dataclass(frozen=True, slots=True)
class Credential:
    """A user and a password; or an identity token, which a token server exchanges for others."""

    user: str
    password: str
    identity_token: str = ""

    @property
    def basic(self) -> str:
        """The value of an Authorization header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()

    def __repr__(self) -> str:  # never the secret, wherever this is shown
        return f"Credential({self.user!r})"


class Credentials:
    """Looks a registry up in the variables, then file by file; what is found is remembered.

    `troubles` says why a place gave nothing (a helper that is absent, say): worth telling when a registry says no.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ
        self._found: dict[tuple[str, str], Credential | None] = {}
        self.troubles: list[str] = []

    def find(self, host: str, repository: str) -> Credential | None:
        """For a registry, or for that repository of it. UsageError for a file that cannot be read."""
        key = (host, repository)
        if key not in self._found:
            self._found[key] = self._from_variables(host) or self._from_files(host, repository)
        return self._found[key]

    def _from_variables(self, host: str) -> Credential | None:
        user, password = self._environ.get(USER, ""), self._environ.get(PASSWORD, "")
        if not user and not password:
            return None
        where = self._environ.get(HOST, "")
        if not (user and password and where):
            raise UsageError(f"environment: {HOST}, {USER} and {PASSWORD} are set together, or none of them")
        return Credential(user, password) if _key(where) == host else None

    def _from_files(self, host: str, repository: str) -> Credential | None:
        for path in files(self._environ):
            tree = _read(path)
            if tree is not None and (found := self._in(tree, path, host, repository)) is not None:
                return found
        return None

    def _in(self, tree: dict[str, Any], path: Path, host: str, repository: str) -> Credential | None:
        helpers = tree.get("credHelpers")
        named = {_key(k): v for k, v in helpers.items()} if isinstance(helpers, dict) else {}
        for helper in (named.get(host), tree.get("credsStore")):
            if isinstance(helper, str) and helper and (found := self._ask(helper, path, host)) is not None:
                return found
        auths = tree.get("auths")
        if not isinstance(auths, dict):
            return None
        entries = {_key(k): v for k, v in auths.items()}
        # containers-auth.json(5): a key may be a repository or a namespace; the longest that fits is meant
        parts = f"{host}/{repository}".split("/")
        for length in range(len(parts), 0, -1):
            entry = entries.get("/".join(parts[:length]))
            if isinstance(entry, dict) and (found := _inline(entry, path, host)) is not None:
                return found
        return None

    def _ask(self, helper: str, path: Path, host: str) -> Credential | None:
        """docker-credential-HELPER get, as docker/docker-credential-helpers defines it."""
        program = f"docker-credential-{helper}"
        asked = _HUB_KEY if host == DOCKER_HUB else host
        variables = dict(self._environ)
        try:
            done = subprocess.run(
                [program, "get"],
                input=asked.encode(),
                capture_output=True,
                check=False,
                timeout=_HELPER_S,
                env=variables,
            )
        except (OSError, ValueError, subprocess.TimeoutExpired) as e:  # ValueError: no name of a program
            why = (
                f"did not answer in {_HELPER_S:.0f} s" if isinstance(e, subprocess.TimeoutExpired) else "cannot be run"
            )
            self._trouble(f"{program}, which {path} names, {why}")
            return None
        if done.returncode != 0:
            said = (done.stdout or done.stderr).decode("utf-8", "replace").strip()
            if "credentials not found" not in said:
                self._trouble(f"{program}, which {path} names, failed: {said[:120]!r}")
            return None
        try:
            tree = json.loads(done.stdout)
            user, secret = tree["Username"], tree["Secret"]
            if not (isinstance(user, str) and isinstance(secret, str)):
                raise TypeError
        except (ValueError, KeyError, TypeError, RecursionError):
            self._trouble(f"{program}, which {path} names, answered no Username and Secret")
            return None
        if not user:  # some say so that they have nothing
            return None
        return Credential("", "", secret) if user == _TOKEN_USER else Credential(user, secret)

    def _trouble(self, text: str) -> None:
        if text not in self.troubles:
            self.troubles.append(text)


def files(environ: Mapping[str, str]) -> list[Path]:
    """Where credentials may be: what a variable names, podman's, Docker's; each once, whether it exists or not."""
    home = of_user(environ)
    found = []
    if named := environ.get("DOCKER_CONFIG"):
        found.append(Path(named) / "config.json")
    if named := environ.get("REGISTRY_AUTH_FILE"):
        found.append(Path(named))
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        found.append(Path(runtime) / "containers" / "auth.json")
    elif hasattr(os, "getuid"):
        found.append(Path(f"/run/containers/{os.getuid()}/auth.json"))
    if environ.get("XDG_CONFIG_HOME") or home is not None:
        configured = Path(environ.get("XDG_CONFIG_HOME") or f"{home}/.config")
        found.append(configured / "containers" / "auth.json")
    if home is not None:
        found.append(home / ".docker" / "config.json")
    return list(dict.fromkeys(found))


def _read(path: Path) -> dict[str, Any] | None:
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as e:
        raise UsageError(f"{path}: cannot be read: {e.strerror}; registries' credentials are looked for there") from e
    try:
        tree = json.loads(data or b"{}")
    except (ValueError, RecursionError) as e:
        raise UsageError(f"{path}: not JSON ({e}); log in again, or put it right") from e
    return tree if isinstance(tree, dict) else None


def _key(text: str) -> str:
    """`https://host:5000/v1/` and `host:5000` are one registry, and all of Docker Hub's names another."""
    bare = text.partition("://")[2] or text
    host, slash, path = bare.partition("/")
    path = path.strip("/")
    host = DOCKER_HUB if host.lower() in _HUB_NAMES else host.lower()
    return host if not slash or path in ("", "v1", "v2") else f"{host}/{path}"


def _inline(entry: dict[str, Any], path: Path, host: str) -> Credential | None:
    token = entry.get("identitytoken")
    if isinstance(token, str) and token:
        return Credential("", "", token)
    user, password = entry.get("username"), entry.get("password")
    if isinstance(user, str) and user and isinstance(password, str):
        return Credential(user, password)
    packed = entry.get("auth")
    if not isinstance(packed, str) or not packed:
        return None
    try:
        name, colon, secret = base64.b64decode("".join(packed.split()), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError) as e:
        raise UsageError(f"{path}: auth of {host} is not base64 of USER:PASSWORD; log in again") from e
    if not colon:
        raise UsageError(f"{path}: auth of {host} is not base64 of USER:PASSWORD; log in again")
    return Credential(name, secret.rstrip("\0"))
