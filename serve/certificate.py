"""Certificate: the pair of files that TLS is served with, read again when they have changed, without a restart."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gantline.errors import UsageError

from .validity import complaint

PERIOD_S = 1.0  # between two looks
MAX_BYTES = 1 << 20  # of each file
_TRIES = 3  # to read two files, and OpenSSL the same two, while nobody writes them
_log = logging.getLogger("gantline.tls")


class Certificate:
    """A chain and its private key, both PEM. What is in force changes as a whole, for connections that are made then.

    A pair counts as new when two looks see the same one: the two files are never replaced at one moment.
    """

    def __init__(self, chain: str, key: str) -> None:
        """UsageError says what is wrong with the files."""
        self.chain = Path(chain)
        self.key = Path(key)
        self._protocols: Sequence[str] = ()
        found = self._read()
        self._current, self.pair = self._load(found), found  # `pair`: the texts of chain and key that are in force
        self._seen: object = found  # at the last look: the texts, or why there are none
        self._judged: object = found  # what was last taken, or refused
        self._warn()

    def context(self, protocols: Sequence[str] = ()) -> ssl.SSLContext:
        """For the listener, which keeps it: each handshake goes on with the pair in force. `protocols`: for ALPN."""
        self._protocols = protocols
        self._current = self._load(self.pair)
        lasting = self._load(self.pair)

        def switch(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
            connection.context = self._current  # OpenSSL asks this for every client, whether it names a server or not

        lasting.sni_callback = switch
        return lasting

    def credentials(self) -> Any:
        """The same for a gRPC port."""
        import grpc

        told = self.pair

        def configuration(pair: tuple[bytes, bytes]) -> Any:
            return grpc.ssl_server_certificate_configuration([(pair[1], pair[0])])

        def renewed() -> Any:  # asked at each handshake, on a thread of gRPC's
            nonlocal told
            if told is self.pair:
                return None
            told = self.pair
            return configuration(told)

        return grpc.dynamic_ssl_server_credentials(configuration(told), renewed)

    def look(self) -> bool:
        """Whether another pair has come into force. What is wrong with the files is logged, once."""
        found: tuple[bytes, bytes] | str
        try:
            found = self._read()
        except UsageError as e:
            found = e.message
        if found != self._seen or found == self._judged:
            self._seen = found
            return False
        self._judged = found
        try:
            if isinstance(found, str):
                raise UsageError(found)
            current = self._load(found)
        except UsageError as e:
            _log.error("%s; the certificate from before stays in force", e.message)
            return False
        if found == self.pair:
            return False  # it is as it was before something went wrong
        self._current, self.pair = current, found
        _log.warning("%s has changed: new connections get it", self.chain)
        self._warn()
        return True

    async def watch(self) -> None:
        """Look once a second, on a thread; for ever, until cancelled."""
        while True:
            await asyncio.sleep(PERIOD_S)
            await asyncio.to_thread(self.look)

    def _warn(self) -> None:
        if words := complaint(self.pair[0], datetime.now(UTC)):
            _log.warning("the certificate in %s %s", self.chain, words)

    def _read(self) -> tuple[bytes, bytes]:
        return _text(self.chain, "tls_certificate"), _text(self.key, "tls_key")

    def _load(self, pair: tuple[bytes, bytes]) -> ssl.SSLContext:
        """A context with this pair, which OpenSSL reads from the files. UsageError when it cannot, or they change."""
        what = f"tls_certificate {self.chain} with tls_key {self.key} cannot be used"
        if b"CERTIFICATE-----" not in pair[0]:  # OpenSSL's own words would name neither file
            raise UsageError(f"tls_certificate {self.chain} cannot be used: it holds no certificate in PEM")
        if b"PRIVATE KEY-----" not in pair[1]:
            raise UsageError(f"tls_key {self.key} cannot be used: it holds no private key in PEM")

        def password() -> str:  # OpenSSL would ask for it on the terminal
            raise UsageError(f"{what}: the key is encrypted; `openssl pkey -in {self.key}` takes its pass phrase off")

        for _ in range(_TRIES):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            try:
                context.load_cert_chain(self.chain, self.key, password)
            except ssl.SSLError as e:
                mismatch = e.reason == "KEY_VALUES_MISMATCH"
                raise UsageError(f"{what}: {'the key is not that of the certificate' if mismatch else e}") from e
            except (OSError, ValueError) as e:
                raise UsageError(f"{what}: {e}") from e
            if self._read() == pair:
                if self._protocols:
                    context.set_alpn_protocols(list(self._protocols))
                return context
        raise UsageError(f"{what}: the files change while they are read")


def _text(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as e:
        raise UsageError(f"{what} {path} cannot be used: {e.strerror}") from e
    if len(text) > MAX_BYTES:
        raise UsageError(f"{what} {path} cannot be used: larger than {MAX_BYTES} bytes")
    return text
