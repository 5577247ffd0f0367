"""URLs, their default, and what is said about a server that does not answer."""

from __future__ import annotations

import ssl

import pytest

from gantline.client.address import Address
from gantline.errors import UsageError


@pytest.mark.parametrize(
    ("said", "url", "host", "port", "prefix", "header"),
    [
        ("http://a:8000", "http://a:8000", "a", 8000, "", "a:8000"),
        ("a:8000", "http://a:8000", "a", 8000, "", "a:8000"),
        ("a", "http://a", "a", 80, "", "a"),
        ("https://a/x/", "https://a/x", "a", 443, "/x", "a"),
        ("http://[::1]:9", "http://[::1]:9", "::1", 9, "", "[::1]:9"),
    ],
)
def test_urls(said: str, url: str, host: str, port: int, prefix: str, header: str) -> None:
    found = Address.of(said)
    assert (found.url, found.host, found.port, found.prefix, found.host_header) == (url, host, port, prefix, header)
    assert (found.tls is not None) is said.startswith("https")


def test_default_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GANTLINE_URL", raising=False)
    assert Address.of(None).url == "http://127.0.0.1:8000"
    monkeypatch.setenv("GANTLINE_URL", "http://other:1")
    assert Address.of(None).url == "http://other:1"
    assert Address.of("http://said:2").url == "http://said:2"


@pytest.mark.parametrize(
    "said", ["ftp://a", "http://", "http://a:port", "http://a:99999", "http://u:p@a", "http://a?q=1"]
)
def test_what_is_no_url(said: str) -> None:
    with pytest.raises(UsageError, match="url "):
        Address.of(said)


def test_own_tls_context_is_used() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    assert Address.of("https://a", context).tls is context


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "nothing listens there; start a server"),
        (OSError(113, "No route to host"), "No route to host; check the address"),
        (ConnectionError("the answer is cut off"), "the answer is cut off; check"),
    ],
)
def test_unreachable_says_what_to_do(error: Exception, message: str) -> None:
    assert message in Address.of("http://a:1").unreachable(error).message


def test_a_certificate_that_is_not_trusted_names_both_ways_out() -> None:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"  # as OpenSSL sets it
    message = Address.of("https://a").unreachable(error).message
    assert "not trusted (self-signed certificate); set SSL_CERT_FILE to a PEM file" in message and "tls=" in message
