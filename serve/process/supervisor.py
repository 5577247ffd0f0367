"""Supervisor: binds the port, keeps the workers alive, passes signals and control on. It serves nothing itself.

All workers accept from one inherited listener: what waits in its backlog when one of them dies goes to the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from gantline.errors import GantlineError, Unavailable, Unsupported
from gantline.exits import FAILED, OK
from gantline.settings import Resolved, ServeSettings

from ..control import Arguments, Effect, Undo
from ..scratch import make_scratch, remove_scratch
from ..telemetry.legacy import Legacy
from ..telemetry.legacy_statistics import LegacyStatistics
from .announcement import Announcement, Report
from .endings import endings
from .handover import to_json
from .link import Message, error_fields, error_of
from .listener import bind, port_of, reserve, take_over
from .pulse import TICK_S
from .relay import Kept, Relay
from .roster import JOINED, SERVING, Roster
from .seat import Seat, WorkerGone

if TYPE_CHECKING:
    from gantline.registry.followed import Followed
    from gantline.registry.presence import Presence

    from .follower import Follower

AT_ONCE_S = 3.0  # for workers that were told to stop at once
MARGIN_S = 10.0  # beyond what the settings give a worker to stop
MAX_ASKS = 64  # that are being relayed
LONGEST_SOCKET = 27  # characters of a name in the workers' folder: "script-" and part of a digest
_log = logging.getLogger("gantline.supervisor")


def supervise(
    resolved: Resolved[ServeSettings], refs: Sequence[str], as_json: bool, workers: int,
    aliases: Sequence[Followed] = (), presence: Presence | None = None,
) -> int:  # fmt: skip
    """Serve with several workers until told to stop; the exit code. The error that a worker could not start with.

    `aliases`, of that registry, are followed.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise Unsupported("several workers need a system that lets processes share a listener; this one does not")
    with (
        bind(resolved.settings) as listener,
        reserve(resolved) or contextlib.nullcontext() as holder,
        contextlib.ExitStack() as stack,
    ):
        folder = make_scratch("gantline-workers-", LONGEST_SOCKET)
        stack.callback(remove_scratch, folder)
        announcement = Announcement(resolved.settings, port_of(listener), as_json, port_of(holder))
        supervisor = Supervisor(resolved, refs, listener, announcement, workers, str(folder))
        if aliases and presence is not None:
            supervisor.follow(aliases, presence)
        return asyncio.run(supervisor.run())


class Supervisor:
    """Everything between the command line and the workers."""

    def __init__(
        self, resolved: Resolved[ServeSettings], refs: Sequence[str], listener: socket.socket,
        announcement: Announcement, workers: int, folder: str,
    ) -> None:  # fmt: skip
        """`folder`: where the workers' own sockets are to be."""
        self.settings = resolved.settings
        self.listener = listener
        self.announcement = announcement
        self.seats = [Seat(n) for n in range(1, workers + 1)]
        self.roster = Roster(workers)
        self.legacies = Legacy(), LegacyStatistics()
        kept = {
            "metrics": Kept(self.legacies[0], {}),
            "statistics": Kept(self.legacies[1], {"name": "", "version": ""}),
        }
        self.relay = Relay(lambda: self._at(JOINED, SERVING), lambda: self._at(SERVING), kept)
        self._refs = list(refs)
        self._told = {
            "resolved": to_json(resolved), "refs": self._refs, "url": announcement.url,
            "grpc_port": announcement.grpc_port, "folder": folder, "workers": workers, "followed": [],
        }  # fmt: skip
        self.follower: Follower | None = None
        self._stopping = asyncio.Event()
        self._failure: GantlineError | None = None
        self._unclean = False
        self._missed: set[int] = set()  # workers whose end has been told, and not that another serves
        self._report: Report | None = None  # of the worker that loaded least
        self._tasks: set[asyncio.Task[None]] = set()

    def follow(self, aliases: Sequence[Followed], presence: Presence) -> None:
        """Have all workers follow aliases, from when they serve on."""
        from .follower import Follower

        self._told["followed"] = [one.at for one in aliases]
        self.follower = Follower(aliases, presence, self.settings.follow_s, self._act)

    async def run(self) -> int:
        """Until a signal, or an error that no worker can get over."""
        loop = asyncio.get_running_loop()
        for one in endings():
            loop.add_signal_handler(one, self.stop)
        keepers = [asyncio.ensure_future(self._keep(seat)) for seat in self.seats]
        watch = asyncio.ensure_future(self._watch())
        try:
            await asyncio.gather(*keepers)
        finally:
            for keeper in (*keepers, watch, *self._tasks):
                keeper.cancel()
            for seat in self.seats:
                seat.kill()
        if self._failure is not None:
            raise self._failure
        return FAILED if self._unclean else OK

    def stop(self) -> None:
        """Begin to stop; called again, stop at once."""
        if self._stopping.is_set():
            _log.warning("told to stop again: stopping at once")
            self._tell("stop")
            self._kill_after(AT_ONCE_S)
            return
        _log.info("stopping %d workers: they finish what was accepted", len(self.seats))
        self._stopping.set()
        self.listener.close()  # ours: the workers have theirs
        self._tell("drain", served=bool(self._at(SERVING)))
        self._kill_after(self.settings.drain_s + self.settings.shutdown_s + MARGIN_S)

    def _kill_after(self, seconds: float) -> None:
        def kill() -> None:
            for seat in self.seats:
                if seat.pid is not None:
                    _log.error("worker %d did not stop in time: killed", seat.number)
                    seat.kill()

        asyncio.get_running_loop().call_later(seconds, kill)

    async def _watch(self) -> None:
        """Take every worker's pulse, and end those that hang."""
        loop, limit = asyncio.get_running_loop(), self.settings.worker_timeout_s
        last = loop.time()
        while True:
            await asyncio.sleep(TICK_S)
            now = loop.time()
            for seat in self.seats:
                if seat.beat(now - last, limit):
                    _log.error("worker %d hangs: silent for %.1f s; killed", seat.number, seat.pulse.silent_s)
                    seat.kill()
            last = now

    # -- one worker

    async def _keep(self, seat: Seat) -> None:
        """Start a worker, and another when it has ended, until the server stops."""
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():  # then there is no listener any more
            how = await self._one_life(seat)
            if self._stopping.is_set():
                return
            verdict = self.roster.ended(seat.number, loop.time(), seat.failure, how)
            if isinstance(verdict, GantlineError):
                self._failure = verdict
                self._stopping.set()
                self._tell("stop")
                self._kill_after(AT_ONCE_S)
                return
            for legacy in self.legacies:
                legacy.ended(seat.number)
            what = f"ended ({how})" if seat.failure is None else f"could not start: {seat.failure}"
            _log.error("worker %d %s; starting another in %.2f s", seat.number, what, verdict)
            self._missed.add(seat.number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), verdict)
                return

    async def _one_life(self, seat: Seat) -> str:
        """See one process through; how it ended, in words."""
        self.roster.starts(seat.number)
        file = self.listener.fileno()
        await seat.start({**self._told, "listener": file}, (file,))
        if self._stopping.is_set():
            seat.tell("drain", served=bool(self._at(SERVING)))  # it was told while there was nobody to hear it
        welcome: asyncio.Task[None] | None = None
        while (message := await seat.receive()) is not None:
            if message["kind"] == "loaded":
                welcome = self._spawn(self._welcome(seat, message["report"]))
            else:
                self._heard(seat, message)
        if welcome is not None:
            welcome.cancel()  # it is not meant for the next one in the seat
        status = await seat.end()
        self._unclean |= status != 0 and self._stopping.is_set()
        return f"exit status {status}" if status >= 0 else f"signal {signal.Signals(-status).name}"

    def _heard(self, seat: Seat, message: Message) -> None:
        kind = message["kind"]
        if kind == "opened":
            self._opened(seat)
        elif kind == "leaving":
            self.roster.leaves(seat.number)
        elif kind == "failed":
            seat.failure = error_of(message)
        elif kind == "ask":
            self._spawn(self._ask(seat, message))
        else:
            _log.error("worker %d sent '%s', which is no message", seat.number, kind)

    async def _welcome(self, seat: Seat, report: Report) -> None:
        """A worker has loaded its models: bring it up to date, and let it listen."""
        self.roster.joins(seat.number)
        try:
            await self.relay.catch_up(seat)
        except WorkerGone:
            return
        if self._report is None or len(report["models"]) < len(self._report["models"]):
            self._report = report
        seat.tell("serve", ready=self.roster.complete)

    def _opened(self, seat: Seat) -> None:
        """A worker listens. When all do, the server is ready."""
        if self.roster.phase(seat.number) != JOINED:
            return  # it has been told to leave meanwhile
        if seat.number in self._missed:
            self._missed.discard(seat.number)
            _log.info("worker %d serves again", seat.number)
        if self.roster.serves(seat.number, asyncio.get_running_loop().time()) and self._report is not None:
            self._tell("serve", ready=True)
            if self.settings.share_ports == "join":
                take_over(self.listener)
            self.announcement.ready(self._report)
            if self.follower is not None:
                self._spawn(self.follower.run())

    async def _ask(self, seat: Seat, message: Message) -> None:
        """A worker wants a verb done everywhere."""
        id = message["id"]
        try:
            if len(self._tasks) > MAX_ASKS:
                raise Unavailable(f"{MAX_ASKS} control calls are under way already; try again later")
            if self.follower is not None:
                await self.follower.asked(message["verb"], message["arguments"])
            effect = _effect(message["effect"])
            answers = await self.relay.ask(seat, message["verb"], message["arguments"], effect)
            seat.tell("answers", id=id, answers=answers)
        except WorkerGone:
            return  # the one that asked
        except GantlineError as e:
            seat.tell("answers", id=id, **error_fields(e))

    # -- all of them

    async def _act(self, verb: str, arguments: Arguments, effect: Effect | None) -> list[Any]:
        """What the follower wants done in all workers; their answers, none when there is none to begin with."""
        seat = next((s for s in self._at(SERVING) if not s.silent), None)
        if seat is None:
            return []
        answers: list[Any] = [None]
        try:
            answers = await self.relay.ask(seat, verb, arguments, effect)
        except WorkerGone:
            return []
        except GantlineError:
            if effect is None or not self.relay.stands(effect.subject, verb, arguments):
                raise  # and else those in which it failed are replaced, by such as do it
        if verb == "follow":
            self._refs[arguments["at"]] = arguments["place"]  # of workers that start from now on
        return answers

    def _at(self, *phases: str) -> list[Seat]:
        return [s for s in self.seats if self.roster.phase(s.number) in phases]

    def _tell(self, kind: str, **fields: Any) -> None:
        for seat in self.seats:
            seat.tell(kind, **fields)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("supervisor", exc_info=error)


def _effect(found: list[Any] | None) -> Effect | None:
    """As it travelled: in lists."""
    if found is None:
        return None
    subject, undoes, undo = found
    return Effect(subject, undoes, Undo(*undo) if undo is not None else None)
