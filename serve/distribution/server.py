"""The registry's process: a listener, the application, keys that are followed, an end that loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from gantline.errors import UsageError
from gantline.exits import FAILED, OK
from gantline.oci.lease import Lease, lease
from gantline.oci.store import Store
from gantline.settings import is_loopback

from ..key_file import PERIOD_S, KeyFile
from ..process.endings import endings
from .app import Distribution
from .guard import Guard

PUSH_S = 3600.0  # that blobs wait, at least, for the manifest that they were sent for


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where to listen and who may come. `port` 0: any free one; paths empty: none."""

    host: str = "127.0.0.1"
    port: int = 5000
    keys: str = ""
    no_auth: bool = False
    certificate: str = ""
    key: str = ""


class _Server(uvicorn.Server):
    """uvicorn's, but that a signal to stop ends it with 0. `ready` is called when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for one in endings():
            loop.add_signal_handler(one, self._stop)
        yield

    def _stop(self) -> None:
        self.force_exit = self.should_exit  # told twice: wait for nothing
        self.should_exit = True


def serve_distribution(store: Store, wanted: Wanted, as_json: bool) -> int:
    """Serve a store until told to stop; the exit code. UsageError where it may not or cannot listen."""
    if not is_loopback(wanted.host) and not wanted.keys and not wanted.no_auth:
        raise UsageError(f"--host {wanted.host} can be reached by others: give --keys FILE, or --no-auth")
    if bool(wanted.certificate) != bool(wanted.key):
        raise UsageError("--tls-certificate and --tls-key belong together")
    for path in filter(None, (wanted.certificate, wanted.key)):
        if not Path(path).is_file():
            raise UsageError(f"{path}: no such file")
    guard = Guard(KeyFile(wanted.keys) if wanted.keys else None)
    with _bound(wanted) as listener:
        port = listener.getsockname()[1]
        url = f"{'https' if wanted.certificate else 'http'}://{_shown(wanted.host)}:{port}"
        config = uvicorn.Config(
            Distribution(store, guard).app, loop="auto", ws="none", lifespan="off", log_config=None, access_log=False,
            server_header=False, timeout_keep_alive=75, timeout_graceful_shutdown=30,
            ssl_certfile=wanted.certificate or None, ssl_keyfile=wanted.key or None,
        )  # fmt: skip
        server = _Server(config, lambda: _announce(url, store, as_json))
        held = lease(store)
        try:
            asyncio.run(_run(server, listener, guard, held))
        finally:
            held.end()
    return OK if server.started else FAILED


async def _run(server: _Server, listener: socket.socket, guard: Guard, held: Lease) -> None:
    watch = asyncio.ensure_future(_follow(guard, held))
    try:
        await server.serve(sockets=[listener])
    finally:
        watch.cancel()


async def _follow(guard: Guard, held: Lease) -> None:
    while True:
        held.began(time.time() - PUSH_S)  # nobody says when a push is over
        await asyncio.sleep(PERIOD_S)
        await asyncio.to_thread(guard.look)


def _announce(url: str, store: Store, as_json: bool) -> None:
    host = url.partition("://")[2]
    if as_json:
        sys.stdout.write(json.dumps({"url": url, "store": str(store.root)}) + "\n")
    else:
        sys.stdout.write(
            f"A registry of {store.root} listens on {url}\n"
            f"Try:\n  gantline push NAME:TAG {host}/NAME:TAG\n  docker pull {host}/NAME:TAG\n"
        )
    sys.stdout.flush()


def _bound(wanted: Wanted) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in wanted.host else socket.AF_INET
        return socket.create_server((wanted.host, wanted.port), family=family, backlog=512)
    except OSError as e:
        raise UsageError(f"cannot listen on {wanted.host}:{wanted.port}: {e.strerror}; choose another --port") from e


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
