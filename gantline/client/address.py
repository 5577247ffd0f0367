"""Address: the server's URL taken apart, and what its connections need."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..errors import DeadlineExceeded, Unreachable, UsageError

DEFAULT_URL = "http://127.0.0.1:8000"
VARIABLE = "GANTLINE_URL"


@dataclass(frozen=True, slots=True)
class Address:
    """`prefix` is the URL's path, put before every call's; `tls` is None for http."""

    url: str
    host: str
    port: int
    prefix: str
    tls: ssl.SSLContext | None

    @classmethod
    def of(cls, url: str | None, tls: ssl.SSLContext | None = None) -> Address:
        """From a URL, or GANTLINE_URL, or the default; "host:port" means http. UsageError for anything else."""
        said = url or os.environ.get(VARIABLE) or DEFAULT_URL
        try:
            parts = urlsplit(said if "://" in said else f"http://{said}")
            host, port = parts.hostname, parts.port
        except ValueError as e:
            raise UsageError(f"url {said!r}: {e}; use http://HOST:PORT") from e
        if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment or parts.username:
            raise UsageError(f"url {said!r}: use http://HOST:PORT or https://HOST:PORT")
        secure = parts.scheme == "https"
        context = (tls or ssl.create_default_context()) if secure else None
        prefix = parts.path.rstrip("/")
        return cls(f"{parts.scheme}://{parts.netloc}{prefix}", host, port or (443 if secure else 80), prefix, context)

    @property
    def host_header(self) -> str:
        """The Host header's value."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    def unreachable(self, error: BaseException) -> Unreachable:
        """What to tell a person whose server does not answer."""
        if isinstance(error, ssl.SSLCertVerificationError):
            why = (
                f"its certificate is not trusted ({error.verify_message}); "
                "set SSL_CERT_FILE to a PEM file that holds its issuer, or pass Client(tls=), a context that trusts it"
            )
        elif isinstance(error, ssl.SSLError):
            why = f"TLS failed ({error.reason or error}); is it an https server?"
        elif isinstance(error, ConnectionRefusedError):
            why = f"nothing listens there; start a server (gantline serve REF) or set --url or {VARIABLE}"
        else:
            what = getattr(error, "strerror", None) or str(error) or type(error).__name__
            why = f"{what}; check the address and the server"
        return Unreachable(f"no answer from {self.url}: {why}")

    def too_late(self, timeout_s: float) -> DeadlineExceeded:
        """What to tell a person whose call took too long."""
        return DeadlineExceeded(f"no answer from {self.url} within {timeout_s:g} s; allow more with timeout_s")
