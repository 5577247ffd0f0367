"""Pages: other people's web pages, which reach a server without keys through its operator's browser. Pure.

A browser sends along what a page cannot forge: `Sec-Fetch-Site` (to HTTPS and to this machine) or `Origin` (with every
POST). A page of its own server is not asked further; whoever sends neither is no browser, or asks for a link's sake.
A name that its owner makes point to this machine (DNS rebinding) looks like the page's own server, and is known by
`Host`.
"""

from __future__ import annotations

from ipaddress import ip_address
from time import monotonic
from typing import NamedTuple

from gantline.errors import Denied
from gantline.settings import is_loopback

from .access import Denials, Rule
from .exchange import Head
from .keys import Role

_OWN = (b"same-origin", b"none")  # none: somebody typed the address, or has it in a bookmark
_ONLY_LOOKS = (b"GET", b"HEAD")
_SHOWN = 100  # characters of a header that are quoted


class Doubt(NamedTuple):
    """Why a request may not be answered. `named`: it is only for a name that may be anybody's."""

    why: str
    named: bool


class Pages:
    """Decides over heads where there are no keys. `host`: the setting."""

    def __init__(self, host: str) -> None:
        self.denials = Denials()
        self._host = host.lower()
        self._alone = is_loopback(host)  # whoever calls is on this machine: its names are known

    def doubt(self, head: Head) -> Doubt | None:
        """What speaks against a request, whatever it asks: for most None, by one look at its headers."""
        origin = site = mode = host = None
        for name, value in head.headers:
            if name == b"origin":
                origin = value
            elif name == b"sec-fetch-site":
                site = value
            elif name == b"sec-fetch-mode":
                mode = value
            elif name == b"host":
                host = value
        if origin is None and site is None:
            return self._doubt_host(host) if self._alone else None  # names off this machine are its network's affair
        own = site in _OWN if site is not None else origin is None or origin.partition(b"://")[2] == host
        if own:
            return self._doubt_host(host)
        if origin is None and mode == b"navigate" and head.method in _ONLY_LOOKS:
            return None  # somebody follows a link, and sees the answer; the page does not
        who = f"a web page of {_quoted(origin)}" if origin is not None else "a web page of another site"
        return Doubt(f"{who} may neither change nor read what a server without keys has; give the server --keys", False)

    def admit(self, head: Head, rule: Rule, doubt: Doubt) -> None:
        """Denied for what is doubtful, unless the route's rule says that it does not matter."""
        if rule.pages or (doubt.named and rule.role is not Role.ADMIN):
            return
        error = Denied(doubt.why, known=True)
        self.denials.note(head, error, monotonic())
        raise error

    def _doubt_host(self, host: bytes | None) -> Doubt | None:
        if host is None:
            return None
        name = host.decode("latin-1").lower()
        if not name.endswith("]"):
            head, colon, port = name.rpartition(":")
            name = head if colon and port.isdigit() else name
        if name == self._host or name == "localhost" or name.endswith(".localhost") or _is_address(name):
            return None
        return Doubt(
            f"Host {_quoted(host)} is not known to be a name of this server, which has no keys: ask it as localhost or "
            "by its address, or give it --keys",
            True,
        )


def _is_address(name: str) -> bool:
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _quoted(value: bytes) -> str:
    return repr(value.decode("latin-1")[:_SHOWN])
