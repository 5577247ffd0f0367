"""Reference: a name in a registry, `oci://HOST/REPOSITORY:TAG@sha256:...`, or as Docker writes it without a scheme."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace

from ..errors import UsageError

SCHEMES = ("oci://", "docker://")
DOCKER_HUB = "docker.io"
_HUBS = (DOCKER_HUB, "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com")
_HUB_API = "registry-1.docker.io"
_DEFAULT_TAG = "latest"
_LONGEST = 255  # of host and repository together, as Docker has it
# distribution specification 1.1, "Pulling manifests"
_COMPONENT = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = re.compile(rf"({_LABEL}(\.{_LABEL})*|\[[0-9A-Fa-f:.]+\])(:[0-9]{{1,5}})?")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """A repository of a registry, and what of it: by tag, by digest, or both (the digest then says which)."""

    host: str  # with its port, if it was said
    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """UsageError says what is wrong. With a scheme the first part is a host; without, as Docker decides."""
        scheme = next((s for s in SCHEMES if text.startswith(s)), "")
        if not text or (not scheme and "://" in text):
            raise _wrong(text, "write oci://HOST/REPOSITORY:TAG, or HOST/REPOSITORY:TAG")
        named, at, digest = text.removeprefix(scheme).partition("@")
        if at and not _DIGEST.fullmatch(digest):
            raise _wrong(text, f"digest {digest!r:.80} is not sha256: and 64 hexadecimal digits in lower case")
        path, slash, last = named.rpartition("/")
        last, colon, tag = last.partition(":")
        if colon and not slash and scheme:
            raise _wrong(text, "has no repository; write oci://HOST/REPOSITORY:TAG")
        if colon and not _TAG.fullmatch(tag):
            raise _wrong(
                text, f"tag {tag!r:.140} is not 1 to 128 letters, digits, '_', '.' or '-' (first no '.' or '-')"
            )
        host, repository = _split(f"{path}/{last}" if slash else last, bool(scheme), text)
        _check_repository(host, repository, text)
        return cls(host, repository, tag or ("" if digest else _DEFAULT_TAG), digest)

    @property
    def target(self) -> str:
        """What a registry is asked for: the digest, if there is one, else the tag."""
        return self.digest or self.tag

    @property
    def name(self) -> str:
        """Host and repository."""
        return f"{self.host}/{self.repository}"

    @property
    def api_host(self) -> str:
        """Where the registry answers: Docker Hub does so under another name than it is called by."""
        return _HUB_API if self.host == DOCKER_HUB else self.host

    def at(self, digest: str) -> Reference:
        """The same by this digest."""
        return replace(self, digest=digest)

    def __str__(self) -> str:
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def has_host(text: str) -> bool:
    """Whether a name says which registry it is in."""
    if text.startswith(SCHEMES):
        return True
    first, slash, _ = text.partition("/")
    return bool(slash) and first not in (".", "..") and _is_host(first)


def whole(name: str) -> str:
    """A name as engines mean it: `iris:1` is docker.io/library/iris:1; what is no reference stays as it is."""
    try:
        return str(Reference.parse(name))
    except UsageError:
        return name


def is_loopback(host: str) -> bool:
    """Whether a host (perhaps with a port) is this machine: only there is plain HTTP nobody's business."""
    name = host.removeprefix("[").partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if name.lower() == "localhost" or name.lower().endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _split(named: str, must_have_host: bool, text: str) -> tuple[str, str]:
    first, slash, rest = named.partition("/")
    if must_have_host or (slash and _is_host(first)):
        if not slash or not rest:
            raise _wrong(text, "has no repository; write oci://HOST/REPOSITORY:TAG")
        if not _HOST.fullmatch(first):
            raise _wrong(text, f"{first!r:.80} is not a host")
        host, repository = first.lower(), rest
    else:
        host, repository = DOCKER_HUB, named
    if host not in _HUBS:
        return host, repository
    return DOCKER_HUB, repository if "/" in repository else f"library/{repository}"


def _is_host(first: str) -> bool:
    """Docker's rule: `team/iris` is a repository, `team.example/iris` and `localhost/iris` have a host."""
    return "." in first or ":" in first or first == "localhost" or first.lower() != first


def _check_repository(host: str, repository: str, text: str) -> None:
    if not all(_COMPONENT.fullmatch(part) for part in repository.split("/")):
        repository = repository.removeprefix("library/") if host == DOCKER_HUB else repository
        lower = repository.lower()
        hint = f"; did you mean {lower!r:.140}?" if lower != repository else ""
        raise _wrong(
            text,
            f"repository {repository!r:.140} is not lower-case letters and digits, with '.', '_', '-' or '/' between"
            + hint,
        )
    if len(host) + 1 + len(repository) > _LONGEST:
        raise _wrong(text, f"longer than {_LONGEST} characters")


def _wrong(text: str, why: str) -> UsageError:
    return UsageError(f"reference {text!r:.140}: {why}")
