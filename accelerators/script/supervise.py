"""Supervise: a thread for each script host: starts it, logs what it prints, ends it, starts it again."""

from __future__ import annotations

import json
import logging
import os
import select
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from gantline.errors import GantlineError, ScriptFailed

from . import channel as ch
from .backoff import Backoff
from .failure import failed_to_load
from .joined import join
from .link import Link
from .output import Output

if TYPE_CHECKING:
    from .process import ScriptHost

START_S = 300.0  # as Azure's WORKER_TIMEOUT: loading and init() may take this long
GRACE_S = 1.0  # for a script to end by its own alarm before it is killed
PATIENCE_S = 1.0  # callers wait for a restart that is this near, and are refused otherwise

_log = logging.getLogger("gantline.script")


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a host: the interpreter's command, what it is told, its environment and working directory."""

    command: list[str]
    config: dict[str, Any]
    environment: dict[str, str]
    folder: str
    name: str = ""  # of the model
    content: str = ""  # a digest of what is run: another one is another host
    shared: Path | None = None  # where those who share a host find it; None: each has its own

    def seated(self, seat: int) -> Launch:
        """The same for one of several hosts, told apart so that workers share each with its like."""
        return replace(self, config=self.config | {"seat": seat}) if seat else self

    def link(self) -> Link:
        """Start the host, or join those who have. ScriptFailed when that cannot be done."""
        if self.shared is not None:
            return join(self.shared, self)
        try:
            return Link(self.command, json.dumps(self.config), self.environment, self.folder)
        except OSError as e:
            raise ScriptFailed(f"model '{self.name}': cannot start {self.command[0]}: {e.strerror}") from e

    def to_json(self) -> dict[str, Any]:
        """What `from_json` takes: the same, for one who shares it with nobody."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "shared"} | {
            "config": dict(self.config)
        }

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> Launch:
        """The other end of `to_json`."""
        return cls(**tree)


class Supervisor:
    """Keeps one host's process alive from start() to stop()."""

    def __init__(self, host: ScriptHost, launch: Launch) -> None:
        self.restarts = 0
        self._host = host
        self._launch = launch
        self._closed = False
        self._killed = False  # the last process, for what nobody waited for
        self._started = threading.Event()
        self._failure: GantlineError | None = None
        self._nudge, self._nudged = socket.socketpair()
        self._nudge.setblocking(False)
        self._nudged.setblocking(False)
        # the process dies with the thread that made it (PR_SET_PDEATHSIG), so this one lives as long as the host
        self._thread = threading.Thread(target=self._run, name=f"script:{host.name}", daemon=True)

    def start(self) -> GantlineError | None:
        """Start and wait until the script has loaded, or the error that it ended with."""
        self._thread.start()
        self._started.wait()
        return self._failure

    def stop(self) -> None:
        """End the process and the thread."""
        self._closed = True
        self.nudge()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()
        self._nudge.close()
        self._nudged.close()

    def nudge(self) -> None:
        """Make the thread look at its link now."""
        with suppress(OSError):  # full: it will look anyway; or closed
            self._nudge.send(b"!")

    def _run(self) -> None:
        backoff = Backoff()
        while not self._closed:
            lived, failure = self._one_life()
            if not self._started.is_set():
                self._failure = failure
                self._started.set()
                return
            if self._closed:
                return
            delay = 0.0 if self._killed and failure is None else backoff.after(lived)
            if failure is not None or delay > PATIENCE_S:
                self._host.refuse(f"model '{self._host.name}': its script is being restarted; try again later")
            _log.warning("model '%s': starting its script again in %.2f s", self._host.name, delay)
            self.restarts += 1
            self._pause(delay)

    def _one_life(self) -> tuple[float, GantlineError | None]:
        """Start a process and see it through; seconds that it was ready, and why it did not get that far."""
        launch, host = self._launch, self._host
        try:
            link = launch.link()
        except ScriptFailed as e:
            _log.error("%s", e)
            return 0.0, e
        output = link.listen(host.name)
        eyes = _Eyes(link, output, self._nudged)
        try:
            found = self._until_loaded(link, eyes)
            if isinstance(found, GantlineError):
                link.kill()
                link.wait_for_end()
                output.finish()
                _log.error("%s", found)
                link.close()
                return 0.0, found
            since = monotonic()
            host.ready(link, found)
            self._started.set()
            flags = self._until_dead(link, eyes)
            link.kill()
            how = link.wait_for_end()
            output.finish()
            failed = host.lost(link, flags)
            if not self._closed:
                _log.error("model '%s': its script's process ended (%s); %d requests failed", host.name, how, failed)
            return monotonic() - since, None
        finally:
            eyes.close()

    def _until_loaded(self, link: Link, eyes: _Eyes) -> dict[str, Any] | GantlineError:
        """What the host says of its script, or the error that loading ended with."""
        end = monotonic() + START_S
        name = self._host.name
        while True:
            eyes.look(0.5, link.sock)
            for message in link.receive():
                if message.kind == ch.READY:
                    return dict(json.loads(message.body))
                if message.kind == ch.FAILED:
                    facts = json.loads(message.body)
                    for line in facts.get("traceback", "").splitlines():  # a keeper has logged it
                        _log.error("[%s] %s", name, line)
                    return failed_to_load(name, facts, self._launch)
            if self._closed:
                return ScriptFailed(f"model '{name}': unloaded while it was loading")
            if link.dead:
                _let_end(link)
            if (how := link.ended()) is not None:
                return ScriptFailed(f"model '{name}': its process ended while loading ({how}); the log has its output")
            if link.broken or link.dead:
                return ScriptFailed(f"model '{name}': its process closed the link while loading")
            if monotonic() > end:
                return ScriptFailed(f"model '{name}': loading and init() took more than {START_S:.0f} s")

    def _until_dead(self, link: Link, eyes: _Eyes) -> int:
        """Watch a ready host; flags that its unanswered calls end with."""
        limit = self._host.timeout_s
        grace = self._host.grace_s
        tick = min(1.0, max(0.02, min(limit, grace or limit) / 4))
        self._killed = False
        while not self._closed:
            eyes.look(tick)
            if link.ended() is not None:
                return ch.RUN_FAILED
            if link.broken or link.dead:
                _let_end(link)
                if link.broken:
                    _log.error("model '%s': the link is damaged: %s", self._host.name, link.broken)
                return ch.RUN_FAILED
            if grace and link.overdue(grace):
                _log.error(
                    "model '%s': nobody waits any longer, but its script did not stop in %.3g s: killed",
                    self._host.name,
                    grace,
                )
                self._killed = True
                return ch.CANCELLED
            if link.own and link.calls and monotonic() - link.progress > limit + GRACE_S and not link.stalled():
                _log.error("model '%s': run() did not end after %.3g s: killed", self._host.name, limit)
                return ch.RUN_FAILED | ch.TIMED_OUT
        return 0

    def _pause(self, seconds: float) -> None:
        end = monotonic() + seconds
        while not self._closed and (left := end - monotonic()) > 0:
            select.select([self._nudged], [], [], left)
            _drain(self._nudged)


class _Eyes:
    """All that the thread watches: the process, its output, and the nudge."""

    def __init__(self, link: Link, output: Output, nudged: socket.socket) -> None:
        self._output = output
        self._nudged = nudged
        self._process = -1
        self._tick = 60.0  # one that is not ours is seen to end by its output
        if link.own and link.pid is not None:
            self._tick = 0.1
            if hasattr(os, "pidfd_open"):
                self._process, self._tick = os.pidfd_open(link.pid), 60.0

    def look(self, seconds: float, sock: socket.socket | None = None) -> None:
        """Wait for something to happen, at most this long, and log what was printed."""
        poll = select.poll()
        if not self._output.closed:
            poll.register(self._output.file, select.POLLIN)
        if self._process >= 0:
            poll.register(self._process, select.POLLIN)
        poll.register(self._nudged, select.POLLIN)
        if sock is not None:
            poll.register(sock, select.POLLIN)
        for file, _ in poll.poll(min(seconds, self._tick) * 1000):
            if file == self._output.file:
                self._output.pump()
            elif file == self._nudged.fileno():
                _drain(self._nudged)

    def close(self) -> None:
        if self._process >= 0:
            os.close(self._process)


def _let_end(link: Link) -> None:
    """A socket closes a moment before its process ends: wait for that, so that the log says how it ended."""
    link.wait_for_end(0.5)


def _drain(sock: socket.socket) -> None:
    with suppress(OSError):
        while sock.recv(4096):
            pass
