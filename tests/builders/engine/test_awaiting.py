"""Waiting for a server, and the reason why one did not come."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from gantline.builders.engine.awaiting import announced, place_in, ready, reason, until, url

from gantline.errors import DeadlineExceeded, Unavailable
from tests.conftest import Starting


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    folder = tmp_path_factory.mktemp("tls")
    chain, key = folder / "chain.pem", folder / "key.pem"
    words = ["-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", chain, "-days", "2", "-subj", "/CN=elsewhere"]
    subprocess.run(["openssl", "req", "-x509", *map(str, words)], check=True, capture_output=True)
    return chain, key


def test_ready(starting: Starting, iris_package: object) -> None:
    with starting(str(iris_package)) as told:
        until(lambda: ready(told["url"]), 30, lambda: False, lambda: "", "it")
        # another answers where it was to answer
        with pytest.raises(Unavailable, match="ended before it was ready"):
            until(lambda: ready(told["url"]), 30, lambda: True, lambda: "", "it")


def test_ready_behind_tls(starting: Starting, iris_package: object, certificate: tuple[Path, Path]) -> None:
    """A certificate of nobody's, for another name: who asks is next door."""
    chain, key = map(str, certificate)
    with starting(str(iris_package), "--tls-certificate", chain, "--tls-key", key) as told:
        assert told["url"].startswith("https://")
        until(lambda: ready(told["url"]), 30, lambda: False, lambda: "", "it")
        assert not ready(told["url"].replace("https", "http"))


def test_one_that_is_nowhere_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr("http.client.HTTPConnection.connect", asked.append)
    assert not ready("") and not asked


def test_ended_or_late() -> None:
    log = "starting\ngantline serve: error: /models/x: no such model\nbye\n"
    with pytest.raises(Unavailable, match=r"^it: ended before it was ready: gantline serve: error: /models/x: no such"):
        until(lambda: False, 30, lambda: True, lambda: log, "it")
    with pytest.raises(DeadlineExceeded, match=r"not ready within 0 s; --wait-s .*: its log is empty$"):
        until(lambda: ready("http://127.0.0.1:1"), 0, lambda: False, lambda: "", "it")


def test_announced() -> None:
    told = '{"url": "http://127.0.0.1:1", "models": [{"name": "iris"}], "failed": []}'
    assert announced(f"loading\n{told}\n") and not announced(told[:-4]) and not announced('{"url": "", "models": []}')


def test_reason() -> None:
    assert reason('gantline serve: error: x\n{"error": "no room", "kind": "Unavailable"}\n') == "no room"
    assert reason("a\n\nb\nc\nd\n") == "b | c | d"


def test_url() -> None:
    assert url("box", 1, tls=True) == "https://box:1" and place_in(url("::", 1)) == "[::1]:1"
    assert [url(h, 1) for h in ("0.0.0.0", "::", "box")] == ["http://127.0.0.1:1", "http://[::1]:1", "http://box:1"]
