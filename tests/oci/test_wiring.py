"""Wiring: endpoints, proxies as the environment says, certificates from where people keep them."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from gantline.errors import Unsupported, UsageError
from gantline.oci.wiring import Endpoint, Proxy, Wiring, connection, proxy_of, tls_context

FAR = Endpoint("https", "h.example", 443)
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_endpoints() -> None:
    assert Endpoint.of("https://h.example/v2/x?y") == FAR
    assert str(FAR) == "h.example" and str(Endpoint("https", "h.example", 5000)) == "h.example:5000"
    assert str(Endpoint.of("http://[::1]:5000/")) == "[::1]:5000"
    for url in ("ftp://h/x", "h.example", "https://", "http://h:99999/"):
        with pytest.raises(UsageError, match="address"):
            Endpoint.of(url)


def test_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    assert proxy_of(FAR) is None
    monkeypatch.setenv("HTTPS_PROXY", "http://u:p%3A@proxy.example:3128")
    secret = "Basic " + base64.b64encode(b"u:p:").decode()
    assert proxy_of(FAR) == Proxy("proxy.example", 3128, {"Proxy-Authorization": secret})
    assert proxy_of(Endpoint("http", "h.example", 80)) is None
    assert proxy_of(Endpoint("https", "127.0.0.1", 5000)) is None
    monkeypatch.setenv("NO_PROXY", "other.example,h.example")
    assert proxy_of(FAR) is None
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("HTTPS_PROXY", "socks5://proxy.example:1")
    with pytest.raises(Unsupported, match=r"only http://HOST:PORT; set NO_PROXY=h.example"):
        proxy_of(FAR)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:x")
    with pytest.raises(UsageError, match="environment: proxy"):
        proxy_of(FAR)
    monkeypatch.delenv("HTTPS_PROXY")
    monkeypatch.setenv("ALL_PROXY", "proxy.example:8080")
    assert proxy_of(FAR) == Proxy("proxy.example", 8080, {})


def test_tls_goes_through_a_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    made = connection(FAR, Wiring(), tls_context(FAR, Wiring()))
    assert (made.host, made.port) == ("proxy.example", 3128)
    assert (made._tunnel_host, made._tunnel_port) == ("h.example", 443)  # type: ignore[attr-defined]


def test_files_that_are_no_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = tmp_path / "text.pem"
    text.write_text("hello")
    with pytest.raises(UsageError, match=r"text.pem: holds no PEM certificate"):
        tls_context(FAR, Wiring(ca_file=str(text)))
    with pytest.raises(UsageError, match=r"absent.pem: No such file"):
        tls_context(FAR, Wiring(ca_file=str(tmp_path / "absent.pem")))
    with pytest.raises(UsageError, match=r"text.pem and .*text.pem: do not belong together"):
        tls_context(FAR, Wiring(client_cert=str(text)))
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".config" / "containers" / "certs.d" / "h.example"
    folder.mkdir(parents=True)
    (folder / "ca.crt").write_text("hello")
    with pytest.raises(UsageError, match=r"h.example/ca.crt: holds no PEM certificate"):
        tls_context(FAR, Wiring())
    tls_context(Endpoint("https", "i.example", 443), Wiring())
