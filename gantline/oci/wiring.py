"""Wiring: how a registry is connected to: plain or by TLS, with which certificates, through which proxy."""

from __future__ import annotations

import base64
import http.client
import os
import ssl
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..errors import Unsupported, UsageError
from ..home import of_user
from .reference import is_loopback

# where Docker and podman look for a registry's certificates: HOST[:PORT]/*.crt, and client.cert with client.key
_CERTIFICATES = ("/etc/docker/certs.d", "/etc/containers/certs.d")
_OWN_CERTIFICATES = ".config/containers/certs.d"  # in the user's home


@dataclass(frozen=True, slots=True)
class Wiring:
    """What the user says of connections. Paths name PEM files; times are in seconds."""

    plain_http: bool = False
    ca_file: str = ""
    client_cert: str = ""
    client_key: str = ""  # empty: in the same file
    connect_s: float = 15.0
    silence_s: float = 60.0  # without a byte in either direction
    document_s: float = 180.0  # for all of an answer that is not a blob


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server: scheme, host and port."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Endpoint:
        """From a URL. UsageError for anything but http and https."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as e:
            raise UsageError(f"address {url!r:.200}: {e}") from e
        if parts.scheme not in ("http", "https") or not host:
            raise UsageError(f"address {url!r:.200}: neither http nor https")
        return cls(parts.scheme, host, port or (443 if parts.scheme == "https" else 80))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"


def connection(endpoint: Endpoint, wiring: Wiring, tls: ssl.SSLContext | None) -> http.client.HTTPConnection:
    """A connection that is not open yet, to the server or to the proxy that leads there; and how paths are said.

    `tls` is for https. A plain request through a proxy names the whole URL: see `absolute`.
    """
    proxy = proxy_of(endpoint)
    if tls is None:
        at = (proxy.host, proxy.port) if proxy else (endpoint.host, endpoint.port)
        return http.client.HTTPConnection(*at, timeout=wiring.connect_s)
    if proxy is None:
        return http.client.HTTPSConnection(endpoint.host, endpoint.port, timeout=wiring.connect_s, context=tls)
    made = http.client.HTTPSConnection(proxy.host, proxy.port, timeout=wiring.connect_s, context=tls)
    made.set_tunnel(endpoint.host, endpoint.port, headers=dict(proxy.headers))
    return made


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy; `headers` hold what it wants to know of us."""

    host: str
    port: int
    headers: Mapping[str, str]


def proxy_of(endpoint: Endpoint) -> Proxy | None:
    """As HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY say, or the system; none to this machine itself."""
    if is_loopback(str(endpoint)) or urllib.request.proxy_bypass(f"{endpoint.host}:{endpoint.port}"):
        return None
    named = urllib.request.getproxies()
    text = named.get(endpoint.scheme) or named.get("all")
    if not text:
        return None
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname, parts.port
    except ValueError as e:
        raise UsageError(f"environment: proxy {text!r:.100}: {e}; use http://HOST:PORT") from e
    if parts.scheme != "http" or not host:
        raise Unsupported(
            f"proxy {parts.scheme}://{host}: only http://HOST:PORT; set NO_PROXY={endpoint.host} to go without"
        )
    headers = {}
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
    return Proxy(host, port or 80, headers)


def tls_context(endpoint: Endpoint, wiring: Wiring) -> ssl.SSLContext:
    """The system's trust, and what the user and the registry's folders add. UsageError names a file that is wrong."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    for folder in _folders():
        at = folder / str(endpoint)
        if os.path.isdir(at):  # False where one may not look
            for path in sorted(at.glob("*.crt")):
                _trust(context, path)
            for path in sorted(at.glob("*.cert")):
                _identify(context, path, path.with_suffix(".key"))
    if wiring.ca_file:
        _trust(context, Path(wiring.ca_file))
    if wiring.client_cert:
        _identify(context, Path(wiring.client_cert), Path(wiring.client_key or wiring.client_cert))
    return context


def _folders() -> list[Path]:
    own = of_user()
    return [*map(Path, _CERTIFICATES), *([own / _OWN_CERTIFICATES] if own is not None else [])]


def _trust(context: ssl.SSLContext, path: Path) -> None:
    try:
        context.load_verify_locations(path)
    except (ssl.SSLError, OSError) as e:
        why = "holds no PEM certificate" if isinstance(e, ssl.SSLError) else e.strerror or str(e)
        raise UsageError(f"{path}: {why}; expected certificates to trust, in PEM") from e


def _identify(context: ssl.SSLContext, chain: Path, key: Path) -> None:
    try:
        context.load_cert_chain(chain, key, password=lambda: "")
    except (ssl.SSLError, OSError) as e:
        why = "do not belong together, or are not PEM" if isinstance(e, ssl.SSLError) else e.strerror or str(e)
        raise UsageError(f"{chain} and {key}: {why}; expected a certificate and its key, unencrypted") from e
