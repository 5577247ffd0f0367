"""A certificate's files: what is refused, what comes into force, and when."""

from __future__ import annotations

import logging
import shutil
import socket
import ssl
import subprocess
import threading
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from gantline.serve import certificate as module
from gantline.serve.certificate import Certificate

from gantline.errors import UsageError

if TYPE_CHECKING:
    from tests.serve.conftest import Issue


@pytest.fixture
def pairs(tmp_path: Path, issue: Issue) -> tuple[tuple[Path, Path], tuple[Path, Path]]:
    made = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        made.append(issue(tmp_path / name))
    return made[0], made[1]


def put(pair: tuple[Path, Path], to: Path) -> None:
    for file, name in zip(pair, ("cert", "key"), strict=True):
        shutil.copy(file, to / name)


def shown(context: ssl.SSLContext, server_name: str | None) -> bytes:
    """The certificate that a client is shown, over a pair of sockets."""
    here, there = socket.socketpair()
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE

    def serve() -> None:
        with context.wrap_socket(there, server_side=True) as s:
            s.recv(1)

    thread = threading.Thread(target=serve)
    thread.start()
    with trusting.wrap_socket(here, server_hostname=server_name) as s:
        found = s.getpeercert(binary_form=True)
        s.sendall(b"!")
    thread.join(20)
    assert found is not None
    return found


def der(pair: tuple[Path, Path]) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair[0].read_text())


@pytest.mark.parametrize("server_name", ["localhost", None])
def test_a_new_pair_is_taken_when_two_looks_have_seen_it(
    tmp_path: Path, pairs: tuple[tuple[Path, Path], tuple[Path, Path]], caplog: pytest.LogCaptureFixture,
    server_name: str | None,
) -> None:  # fmt: skip
    caplog.set_level(logging.WARNING)
    put(pairs[0], tmp_path)
    one = Certificate(str(tmp_path / "cert"), str(tmp_path / "key"))
    context = one.context()
    assert not one.look() and shown(context, server_name) == der(pairs[0])
    shutil.copy(pairs[1][0], tmp_path / "cert")
    assert not one.look()  # one of the two files is new, as if it was seen in between
    shutil.copy(pairs[1][1], tmp_path / "key")
    assert not one.look() and one.look() and not one.look()
    assert shown(context, server_name) == der(pairs[1])
    assert caplog.messages == [f"{tmp_path / 'cert'} has changed: new connections get it"]


def test_what_is_wrong_is_said_once_and_changes_nothing(
    tmp_path: Path, pairs: tuple[tuple[Path, Path], tuple[Path, Path]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    put(pairs[0], tmp_path)
    one = Certificate(str(tmp_path / "cert"), str(tmp_path / "key"))
    context = one.context()
    shutil.copy(pairs[1][0], tmp_path / "cert")  # of another key
    assert not any(one.look() for _ in range(5))
    (tmp_path / "key").unlink()
    assert not any(one.look() for _ in range(5))
    assert len(caplog.messages) == 2 and all("before stays in force" in text for text in caplog.messages)
    assert "the key is not that of the certificate" in caplog.messages[0] and "No such file" in caplog.messages[1]
    assert shown(context, None) == der(pairs[0])
    put(pairs[0], tmp_path)  # taken back: nothing has changed, and the same fault is told again
    assert not any(one.look() for _ in range(3))
    shutil.copy(pairs[1][0], tmp_path / "cert")
    assert not any(one.look() for _ in range(3)) and len(caplog.messages) == 3


def test_what_no_server_can_start_with(
    tmp_path: Path, pairs: tuple[tuple[Path, Path], tuple[Path, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (first, key), (second, _) = pairs
    locked = tmp_path / "locked"
    words = ["openssl", "pkey", "-aes256", "-passout", "pass:secret", "-in", str(key), "-out", str(locked)]
    subprocess.run(words, check=True, capture_output=True)
    (tmp_path / "text").write_text("not a certificate")
    (tmp_path / "damaged").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    for chain, own, why in (
        (tmp_path / "none", key, r"tls_certificate .*none cannot be used: No such file"),
        (first, tmp_path, r"tls_key .* cannot be used: Is a directory"),
        (tmp_path / "text", key, r"tls_certificate .*text cannot be used: it holds no certificate in PEM$"),
        (key, key, r"tls_certificate .*key cannot be used: it holds no certificate in PEM$"),
        (first, first, r"tls_key .* cannot be used: it holds no private key in PEM$"),
        (tmp_path / "damaged", key, r"tls_certificate .*damaged with tls_key .*key cannot be used: "),
        (second, key, r"tls_certificate .* with tls_key .* cannot be used: the key is not that of the certificate$"),
        (first, locked, "the key is encrypted; `openssl pkey -in .*locked` takes its pass phrase off"),
    ):
        with pytest.raises(UsageError, match=why):
            Certificate(str(chain), str(own))
    monkeypatch.setattr(module, "MAX_BYTES", 100)
    with pytest.raises(UsageError, match="larger than 100 bytes"):
        Certificate(str(first), str(key))


def test_one_that_is_about_to_expire_is_told_of(
    tmp_path: Path, issue: Issue, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gantline.serve.validity.SOON", timedelta(days=3))  # it is issued for two
    chain, key = issue(tmp_path)
    caplog.set_level(logging.WARNING)
    Certificate(str(chain), str(key))
    (message,) = caplog.messages
    assert message.startswith(f"the certificate in {chain} expires on 2")
