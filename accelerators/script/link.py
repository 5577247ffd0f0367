"""Link: the server's end of one script host: calls on their way, answers as they come.

One link lives as long as one host process; process.py makes a new one when it restarts.
"""

from __future__ import annotations

import mmap
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, TypeAlias

from . import channel as ch
from .channel import Channel, Gone, open_mapping
from .output import Output
from .ring import Damaged, Message
from .tether import Tether
from .watch import UNWANTED

if TYPE_CHECKING:
    from .process import ScriptHost

FOLDER = os.path.dirname(os.path.abspath(__file__))
# the host's interpreter may have no Gantline: its modules are loaded from our folder under a name of their own
_BOOT = """import importlib.util as u, sys
d = sys.argv[1]
sys.path[:] = [p for p in sys.path if p]
s = u.spec_from_file_location('gantline_script_host', d + '/__init__.py', submodule_search_locations=[d])
m = u.module_from_spec(s)
sys.modules[s.name] = m
s.loader.exec_module(m)
from gantline_script_host.host import main
main(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
"""
FINAL = frozenset((ch.REPLY, ch.END, ch.BROKEN))
Deliver: TypeAlias = Callable[[Message], None]


class Call:
    """One request to the script. `deliver` is called with every message about it, the last one being FINAL."""

    __slots__ = ("body", "deliver", "direct", "dropped", "host", "id", "kind", "meta", "position", "status", "waiting")

    def __init__(
        self, kind: int, body: bytes, deliver: Deliver, status: int = 0, meta: bytes = b"", direct: bool = False
    ) -> None:
        self.kind = kind
        self.status = status
        self.meta = meta
        self.body = body
        self.deliver = deliver
        self.direct = direct  # deliver on whatever thread: the caller waits for it
        self.host: ScriptHost | None = None  # which of several has it
        self.id = 0
        self.position = 0
        self.dropped = 0.0  # when its caller said that nobody waits for it
        self.waiting = False  # the client takes its streamed answer slowly: no fault of the script's


class Link:
    """A channel to one host process, and the calls that it has not answered. Guarded by the owner's lock, but
    receive(), which one thread at a time may call.
    """

    def __init__(self, command: list[str], config: str, environment: dict[str, str], folder: str) -> None:
        """Start the process (not waiting for it to be ready)."""
        ours, theirs = socket.socketpair()
        file, mapping = open_mapping()
        try:
            self.process = subprocess.Popen(
                [*command, "-c", _BOOT, FOLDER, config, str(theirs.fileno()), str(file)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs.fileno(), file),
                env=environment,
                cwd=folder,
                start_new_session=True,  # its children die with it
            )
        except OSError:
            ours.close()
            mapping.close()
            raise
        finally:
            theirs.close()
            os.close(file)
        self._tether: Tether | None = None
        with suppress(OSError):  # it has ended already, or the kernel cannot: then the host alone dies with the server
            self._tether = Tether(self.process.pid)
        self._begin(ours, mapping)

    def _begin(self, ours: socket.socket, mapping: mmap.mmap) -> None:
        ours.setblocking(False)
        self.sock = ours
        self._poll = select.poll()
        self._poll.register(ours, select.POLLIN)
        self.channel = Channel(ours, mapping, parent=True)
        self.calls: dict[int, Call] = {}
        self.restarts = 0  # beyond this link's own end: of a host that others share
        self.progress = monotonic()  # when the host last showed that it works
        self.side_by_side = False  # the host is at several calls at once, and none of them holds up another
        self.dead = False
        self.broken = ""  # why the host cannot be trusted any longer
        self.receiving = Lock()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} pid={self.pid} calls={len(self.calls)} dead={self.dead}>"

    @property
    def pid(self) -> int | None:
        """The process that answers."""
        return self.process.pid

    @property
    def own(self) -> bool:
        """Whether the process is this server's alone, to be watched and killed by it."""
        return True

    def listen(self, name: str) -> Output:
        """What the process prints."""
        assert self.process.stdout is not None
        return Output(name, self.process.stdout.fileno())

    def ended(self) -> str | None:
        """How the process ended, in words, or None."""
        code = self.process.poll()
        return None if code is None else in_words(code)

    def wait_for_end(self, seconds: float | None = None) -> str:
        """Block until it has ended, or so long; how it ended."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return self.ended() or "still running"

    def send(self, call: Call) -> bool:
        """Hand a call over; False when there is no room now."""
        position = self.channel.send(call.kind, call.id, 0, call.status, 0, call.meta, call.body)
        if not position:
            return False
        call.position = position
        if not self.calls:
            self.progress = monotonic()
        self.calls[call.id] = call
        self.channel.wake()
        return True

    def receive(self) -> list[Message]:
        """What the host has sent since the last time; afterwards it rings for more."""
        channel = self.channel
        try:
            channel.read_records()
        except BlockingIOError:
            pass
        except (Gone, OSError):
            self.dead = True
        channel.awake()
        messages: list[Message] = []
        try:
            while True:
                message = channel.take()
                if message is not None:
                    messages.append(message)
                elif channel.may_sleep():
                    break
        except Damaged as e:
            self.broken = str(e)
        except (Gone, OSError):
            self.dead = True
        if messages:
            self.progress = monotonic()
        return messages

    def wait(self, seconds: float) -> bool:
        """Block until the host rings; False when it did not in that time."""
        return bool(self._poll.poll(seconds * 1000))

    def taken(self, call: Call) -> bool:
        """Whether the host has begun with this call (and so may have died of it)."""
        return call.position <= self.channel.out.position

    def stalled(self) -> bool:
        """Whether the call that the host is at waits for its client; if it is at several, all that it has begun."""
        if self.side_by_side:
            return all(call.waiting for call in self.calls.values() if self.taken(call))
        return any(call.waiting for call in self.calls.values())

    def drop(self, call: Call, interrupt: bool) -> None:
        """Nobody waits for this call: it is not begun, or, told to `interrupt`, stopped in the middle of the script."""
        self.channel.cancel(call.id)
        if interrupt and self.own:
            call.dropped = monotonic()
            if self.taken(call):
                self.process.send_signal(UNWANTED)

    def overdue(self, grace_s: float) -> bool:
        """Whether the host is at nothing but what nobody has waited for since so long."""
        begun = [call for call in list(self.calls.values()) if self.taken(call)]
        end = monotonic() - grace_s
        return bool(begun) and all(0 < call.dropped < end for call in begun)

    def kill(self) -> None:
        """End the process and all that it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, 9)

    def close(self) -> None:
        """Kill and forget; the mapping is freed."""
        self.kill()
        self.process.wait()
        if self._tether is not None:
            self._tether.close()
        self.dead = True
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.channel.close()


def in_words(code: int) -> str:
    """How a process ended."""
    if code >= 0:
        return f"exit status {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def supported() -> bool:
    """Whether this platform can run script hosts: Linux and macOS can."""
    return sys.platform != "win32"
