"""Server: one serving process, from sockets bound to exit code. The signals are ours."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import uvicorn

from gantline.errors import UsageError
from gantline.exits import FAILED, OK
from gantline.settings import ServeSettings

from .. import memory
from ..app import Stack
from ..fronts.http1 import Http1
from ..repository import Slot
from ..rpc.call import Methods
from .endings import endings
from .listener import own_listeners, take_over, turn_away
from .promptness import be_prompt

if TYPE_CHECKING:
    from ..fronts.grpcio import Grpcio
    from .follower import Follower

LAST_CALL_S = 0.1  # for connections that are being made when the server stops listening
# how long a thread that has run a batch waits for Python's lock while the loop reads and writes: with Python's 5 ms the
# engine stood still for as long again as it ran
SWITCH_S = 0.0001
_log = logging.getLogger("gantline.server")


class Server(uvicorn.Server):
    """uvicorn's server with our front, our signals and our way to stop.

    SIGTERM, SIGINT, SIGHUP: readiness goes 503, answers say `Connection: close`, the listener stays open for `drain_s`
    and then closes, accepted requests are finished (for `shutdown_s` at most), exit 0. A second signal stops at once.
    """

    def __init__(self, stack: Stack, early: bool = True, grpc_port: int = 0) -> None:
        """`early`: listen before the models are loaded. `grpc_port` 0: no gRPC."""
        settings = stack.settings
        protocol = _protocol(stack)
        tls: dict[str, Any] = {}
        if (certificate := stack.certificate) is not None:
            alpn = getattr(protocol, "alpn_protocols", ())
            tls = {"ssl_context_factory": lambda *_: certificate.context(alpn)}
        config = uvicorn.Config(
            stack.app,
            http=protocol,  # type: ignore[arg-type]  # called as the class would be
            loop="auto",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=settings.access_log,
            server_header=False,
            timeout_graceful_shutdown=settings.shutdown_s,  # type: ignore[arg-type]  # seconds for asyncio.wait_for
            backlog=2048,
            **tls,
        )
        super().__init__(config)
        config.load()
        self.stack = stack
        self.listening = asyncio.Event()  # set: the listener may be used
        # another server has the port, too, and answers while this one loads
        self.joins = early and settings.share_ports == "join"
        if early and not self.joins:
            self.listening.set()
        stack.collector.connections = lambda: len(self.server_state.connections)
        self.opened = asyncio.Event()  # set: whoever connects is heard
        self.grpc_port = grpc_port
        self.grpc: Grpcio | None = None
        self._watches: list[asyncio.Future[None]] = []  # of the keys file and the certificate
        self.accepts = True  # false: it is to end without having listened
        self.whole = True  # nobody else uses the listener, or all stop
        self.unanswered = 0  # connections with an accepted request, when there was no more time for it

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn would raise the signal again after a clean stop, and so exit with 143."""
        loop = asyncio.get_running_loop()
        if threading.current_thread() is not threading.main_thread():
            yield  # embedded in somebody's program: the signals are that program's
            return
        for one in endings():
            try:
                loop.add_signal_handler(one, self.stop)
            except NotImplementedError:  # Windows
                signal.signal(one, lambda *_: loop.call_soon_threadsafe(self.stop))
        yield

    def stop(self) -> None:
        """Begin to stop; called again, stop at once."""
        if self.stack.front.draining:
            _log.warning("told to stop again: stopping at once")
            self.stop_now()
        else:
            self.drain()

    def stop_now(self) -> None:
        """Wait for nothing."""
        self.should_exit = self.force_exit = True
        self.listening.set()

    def drain(self, seconds: float | None = None) -> None:
        """Be a lame duck for so long (`drain_s`), then stop listening and finish what was accepted."""
        _log.info("stopping: finishing what was accepted")
        self.stack.drain()
        asyncio.get_running_loop().call_later(self.stack.settings.drain_s if seconds is None else seconds, self._leave)

    def _leave(self) -> None:
        self.should_exit = True
        self.listening.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        stack = self.stack
        if stack.access is not None and stack.key_file is not None:
            self._watches.append(asyncio.ensure_future(stack.key_file.watch(stack.access)))
        if stack.certificate is not None:
            self._watches.append(asyncio.ensure_future(stack.certificate.watch()))
        await self.listening.wait()
        if self.grpc_port and self.accepts and not self.should_exit:
            # imported on a thread: models are being loaded, and health waits to be asked
            make = await asyncio.get_running_loop().run_in_executor(stack.pools[1], _import_grpcio)
            self.grpc = make(stack.service().methods, stack.settings, stack.certificate)
            await self.grpc.start(stack.settings, self.grpc_port)
        await super().startup(sockets if self.accepts and not (self.joins and self.should_exit) else [])
        for listener in (sockets or []) if self.joins else []:
            take_over(listener)
        self.opened.set()

    async def on_tick(self, counter: int) -> bool:
        self.stack.collector.vitals.tick(time.perf_counter_ns())
        if counter % 10 == 0:
            self._check_connections()
        if counter and counter % 600 == 0:
            gc.collect()  # what little is left for it: see settle_memory
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, answer what was accepted, and close every connection."""
        self.stack.drain()
        timers = asyncio.ensure_future(self._keep_time())  # on_tick is not called any more
        try:
            if self.whole and not self.force_exit:
                for listener in sockets or []:
                    turn_away(listener)
                await asyncio.sleep(LAST_CALL_S)
            await asyncio.gather(super().shutdown(sockets), self._stop_grpc())
        finally:
            timers.cancel()
            for watch in self._watches:
                watch.cancel()
            for connection in list(self.server_state.connections):
                self.unanswered += connection.busy()  # type: ignore[union-attr]  # all connections are our fronts'
                connection.transport.abort()
        if self.unanswered:
            _log.error("%d accepted requests were not answered in time", self.unanswered)

    async def _stop_grpc(self) -> None:
        if self.stack.settings.front == "h2":
            self.stack.service().stop()
        if self.grpc is not None:
            with own_listeners(self.grpc_port) as listeners:
                for listener in listeners:
                    turn_away(listener)
            if not self.force_exit:
                # grpc never reads from a connection that it takes in while it stops: its client waits in vain
                await asyncio.sleep(LAST_CALL_S)
            self.stack.service().stop()
            self.unanswered += await self.grpc.stop(0.0 if self.force_exit else self.stack.settings.shutdown_s)

    async def _keep_time(self) -> None:
        while True:
            await asyncio.sleep(1)
            self._check_connections()

    def _check_connections(self) -> None:
        now = asyncio.get_running_loop().time()
        for connection in list(self.server_state.connections):
            connection.check(now)  # type: ignore[union-attr]  # all connections are our fronts'


def _protocol(stack: Stack) -> Callable[..., asyncio.Protocol]:
    """What makes the protocol of each connection. UsageError for a front whose library is not installed."""
    if stack.settings.front == "http1":
        return partial(Http1, stack.front)
    try:
        from ..fronts.h2 import Fronts, Rpc
    except ImportError as e:
        raise UsageError(f"front h2 needs the extra [h2]: {e}; pip install 'gantline[h2]'") from e
    methods = Methods() if stack.settings.no_grpc else stack.service().methods
    return Fronts(stack.front, Rpc(methods, stack.settings, stack.pools[0]))


def _import_grpcio() -> type[Grpcio]:
    from ..fronts.grpcio import Grpcio
    from ..rpc import service  # noqa: F401  # the methods, with protobuf: they take as long

    return Grpcio


def settle_memory() -> None:
    """Keep the garbage collector away from what will live as long as the process.

    Requests make no cycles: with the default threshold every 700 objects were looked at, for nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def allow_connections(settings: ServeSettings) -> None:
    """Raise the process's own limit of open files to what the settings need, as far as the system lets us."""
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = (settings.max_connections or 65536) + 512  # models, logs and script hosts have files open, too
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def run(
    server: Server,
    listener: socket.socket,
    progress: Callable[[int, int, Slot], None] | None,
    ready: Callable[[list[Slot]], Awaitable[None]],
    follower: Follower | None = None,
) -> bool:
    """Serve until told to stop; whether every accepted request was answered and every model let go.

    `ready` is called when every model has been tried and warmed up, with those that failed.
    """
    memory.settle()
    gc.freeze()  # what was imported holds little garbage, and to look for it takes as long as to import numpy
    stack = server.stack
    beside: list[asyncio.Future[None]] = []
    allow_connections(stack.settings)
    try:
        # health answers from the start (but see Server.listening); readiness comes with the models
        serving = asyncio.ensure_future(server.serve(sockets=[listener]))
        loading = asyncio.ensure_future(_load(server, progress))
        await asyncio.wait((serving, loading), return_when=asyncio.FIRST_COMPLETED)
        if loading.done():
            settle_memory()
            try:
                await ready(loading.result())
            except BaseException:
                server.should_exit = True
                server.listening.set()
                await serving
                raise
            server.listening.set()
        else:
            loading.cancel()
        if loading.done():
            parts = (stack.poller, stack.on_demand, follower)
            beside = [asyncio.ensure_future(one.run()) for one in parts if one is not None]
        await serving
    finally:
        for one in beside:
            one.cancel()
        gone = await _let_go(stack, 0.0 if server.force_exit else max(stack.settings.shutdown_s, 1.0))
    return gone and not server.unanswered


async def _load(server: Server, progress: Callable[[int, int, Slot], None] | None) -> list[Slot]:
    failed = await server.stack.loader.load_all(progress)
    if server.joins and any(slot.model is not None for slot in server.stack.repository.slots()):
        server.listening.set()
    if server.listening.is_set():
        await server.opened.wait()  # unlike HTTP's, gRPC's port does not listen before
    return failed


def run_to_end(main: Coroutine[Any, Any, bool]) -> int:
    """Run a program's main coroutine on a loop of its own; the exit code, by what `run` says."""
    sys.setswitchinterval(SWITCH_S)
    be_prompt()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        clean = runner.run(main)
    if not clean:
        # a thread may be computing still, and would be waited for
        logging.shutdown()
        sys.stdout.flush()
        os._exit(FAILED)
    return OK


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # Windows
        return None
    return uvloop.new_event_loop


async def _let_go(stack: Stack, seconds: float) -> bool:
    """Close every model, within a time: one whose client has left may still be computing."""
    try:
        await asyncio.wait_for(stack.loader.close(), seconds)
    except TimeoutError:
        return False
    finally:
        stack.close()
    return True
