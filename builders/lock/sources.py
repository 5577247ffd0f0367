"""Sources: where distributions come from: indexes, directories of wheels, and how they are reached."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from gantline.errors import UsageError

from . import pip_settings
from .building import Building

PYPI = "https://pypi.org/simple"
# what is set from here on, so that the resolver does not see two answers
_OF_UV = (
    "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_OFFLINE",
    "UV_INSECURE_HOST", "UV_PRERELEASE", "UV_WORKING_DIR", "UV_PROJECT", "UV_SYSTEM_PYTHON",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sources:
    """URLs may hold names and passwords: they are for asking, and nothing of them is written anywhere.

    `wheelhouse`: a directory of wheels: the only source when `offline`, else where they are gathered. `build`: how
    wheels are made of what has none, if at all.
    """

    index: str = ""  # empty: PyPI, or what a uv.toml says
    extra: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    offline: bool = False
    wheelhouse: Path | None = None
    prereleases: bool = False
    build: Building | None = None
    constraints: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()
    certificates: str = ""
    client_certificate: str = ""
    proxy: str = ""
    timeout_s: float = 15.0

    def __post_init__(self) -> None:
        """UsageError for a place that is neither a URL nor a path, and for a host that is more than that."""
        if any("@" in host or "/" in host for host in self.trusted):
            raise UsageError("a trusted host is HOST or HOST:PORT, without name, password or scheme")
        for place in filter(None, (self.index, *self.extra, *self.find_links)):
            try:
                parts = urlsplit(place)
                sound = parts.scheme in ("", "file") or len(parts.scheme) == 1 or bool(parts.port or parts.hostname)
            except ValueError:  # a port that is no number, half an IPv6 address
                sound = False
            if not sound or ("://" in place and parts.scheme not in ("http", "https", "file")):
                shown = re.sub(r"//[^/@]*@", "//", place)
                raise UsageError(f"{shown!r:.200} is no place for wheels: expected https://HOST/..., or a directory")

    @property
    def indexes(self) -> tuple[str, ...]:
        """Every index that is asked, first to last, without passwords."""
        return () if self.no_index else tuple(bare(url) for url in (*self.extra, self.index or PYPI))

    @property
    def places(self) -> tuple[str, ...]:
        """Where the resolver looks besides; with a network not in a wheelhouse, which hides where wheels are from."""
        return (*self.find_links, *([str(self.wheelhouse)] if self.wheelhouse and self.offline else []))

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where wheels of a lock may be: those of the places that are directories here, and the wheelhouse."""
        local = [Path(path) for path in map(local_path, self.find_links) if path]
        return tuple(path for path in (*local, *([self.wheelhouse] if self.wheelhouse else [])) if path.is_dir())

    def credentials(self, url: str) -> tuple[str, str] | None:
        """Name and password for a URL: its own, those of an index on the same host, or those of ~/.netrc."""
        wanted = urlsplit(url)
        for known in (url, *self.extra, self.index, *self.find_links):
            parts = urlsplit(known)
            same = (parts.scheme, parts.hostname, parts.port) == (wanted.scheme, wanted.hostname, wanted.port)
            if same and parts.username is not None:
                return unquote(parts.username), unquote(parts.password or "")
        return _netrc(wanted.hostname or "")

    def variables(self, base: Mapping[str, str]) -> dict[str, str]:
        """The environment of the resolver: passwords are in it, and not on its command line, which all can see."""
        out = {name: value for name, value in base.items() if name not in _OF_UV}
        out |= {"UV_NO_WRAP": "1", "NO_COLOR": "1", "UV_NO_PROGRESS": "1", "UV_PYTHON_DOWNLOADS": "never"}
        # as pip does: the best version over all indexes; UV_INDEX_STRATEGY=first-index trusts their order instead
        out.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
        if self.no_index:
            out["UV_NO_INDEX"] = "1"
        else:
            if self.index:
                out["UV_DEFAULT_INDEX"] = _spelled(self.index)
            if self.extra:
                out["UV_INDEX"] = " ".join(map(_spelled, self.extra))
        if self.places:
            out["UV_FIND_LINKS"] = ",".join(map(_spelled, self.places))
        if self.offline:
            out["UV_OFFLINE"] = "1"
        if self.trusted:
            out["UV_INSECURE_HOST"] = " ".join(self.trusted)
        if self.certificates:
            out["SSL_CERT_FILE"] = self.certificates
        if self.client_certificate:
            out["SSL_CLIENT_CERT"] = self.client_certificate
        if self.proxy:
            out |= {"HTTP_PROXY": self.proxy, "HTTPS_PROXY": self.proxy, "ALL_PROXY": self.proxy}
        out.setdefault("UV_HTTP_TIMEOUT", str(max(1, round(self.timeout_s))))
        return out


def bare(url: str) -> str:
    """A URL without name and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else url


def local_path(place: str) -> str:
    """The path that a `file:` URL or a path means; empty for a URL of anything else."""
    if place.startswith("file:"):
        from urllib.request import url2pathname

        return url2pathname(urlsplit(place).path)
    return "" if "://" in place else os.path.expanduser(place)


def _spelled(place: str) -> str:
    """As it can stand in a list that blanks or commas divide."""
    local = local_path(place)
    if local:
        return Path(os.path.abspath(local)).as_uri()
    return place.replace(" ", "%20").replace(",", "%2C")


def _netrc(host: str) -> tuple[str, str] | None:
    import netrc

    try:
        found = netrc.netrc(os.environ.get("NETRC")).authenticators(host)
    except (OSError, netrc.NetrcParseError):
        return None
    return (found[0] or found[1] or "", found[2] or "") if found else None


def configured(environ: Mapping[str, str] | None = None) -> Sources:
    """What pip and uv are configured with: uv's variables before pip's, and those before pip's files.

    UsageError for a file of pip's that cannot be read.
    """
    environ = os.environ if environ is None else environ
    pip = pip_settings.read(environ)
    return Sources(
        index=_named(environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL") or pip.text("index-url"), environ),
        extra=tuple(
            _named(one, environ)
            for one in (environ.get("UV_INDEX") or environ.get("UV_EXTRA_INDEX_URL") or "").split()
            or pip.list("extra-index-url")
        ),
        find_links=tuple(filter(None, environ.get("UV_FIND_LINKS", "").split(","))) or pip.list("find-links"),
        no_index=pip.truth("no-index"),
        offline=pip_settings.truth(environ.get("UV_OFFLINE", "")),
        prereleases=environ.get("UV_PRERELEASE") == "allow" or pip.truth("pre"),
        constraints=pip.list("constraint"),
        trusted=tuple(environ.get("UV_INSECURE_HOST", "").split()) or pip.list("trusted-host"),
        certificates=pip.text("cert") or environ.get("SSL_CERT_FILE", ""),
        client_certificate=pip.text("client-cert") or environ.get("SSL_CLIENT_CERT", ""),
        proxy=_with_scheme(pip.text("proxy")),
        timeout_s=pip.number("timeout", pip.number("default-timeout", 15.0)),
    )


def _with_scheme(proxy: str) -> str:
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy


def _named(index: str, environ: Mapping[str, str]) -> str:
    """An index without uv's name for it, with the password that UV_INDEX_NAME_PASSWORD has for that name."""
    name, divider, url = index.partition("=")
    if not divider or "://" in name or "/" in name:
        return index
    key = "".join(c if c.isalnum() else "_" for c in name).upper()
    user, password = environ.get(f"UV_INDEX_{key}_USERNAME", ""), environ.get(f"UV_INDEX_{key}_PASSWORD", "")
    parts = urlsplit(url)
    if not (user or password) or "@" in parts.netloc:
        return url
    from urllib.parse import quote

    return urlunsplit(parts._replace(netloc=f"{quote(user, safe='')}:{quote(password, safe='')}@{parts.netloc}"))
