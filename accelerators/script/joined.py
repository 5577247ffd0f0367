"""Joined: the link of one of several server processes that share a host, by way of its keeper (keeper.py).

Whoever needs a host first starts its keeper, which is tied to none of them: it ends when the last one has left, and no
server process is needed for the others to go on. They find it by a Unix socket in a folder that they have in common.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gantline.errors import ScriptFailed

from .channel import open_mapping
from .link import Link
from .output import Output

if TYPE_CHECKING:
    from .supervise import Launch

# the keeper runs in our interpreter and finds modules where we do, but not in a working directory of its own
_BOOT = """import json, sys
sys.path[:] = json.loads(sys.argv[1])
from gantline.accelerators.script.keeper import main
main(int(sys.argv[2]), *sys.argv[3:])
"""
_started: list[subprocess.Popen[bytes]] = []  # keepers that this process started and has not seen end
_log = logging.getLogger("gantline.script")


class Joined(Link):
    """A link to a keeper. Its time limits are the keeper's business; its output is what the keeper has to say."""

    def __init__(self, control: socket.socket) -> None:
        """`control`: connected to the keeper. OSError when nobody is there any more."""
        ours, theirs = socket.socketpair()
        file, mapping = open_mapping()
        try:
            socket.send_fds(control, [b"J"], [theirs.fileno(), file])
        except OSError:
            ours.close()
            mapping.close()
            control.close()
            raise
        finally:
            theirs.close()
            os.close(file)
        self._control = control
        self._told = 0
        self._begin(ours, mapping)

    @property
    def pid(self) -> int | None:
        """The host's process, which the keeper tells to one of those who share it, so that it counts once."""
        return self._told or None

    @property
    def own(self) -> bool:
        return False

    def listen(self, name: str) -> Output:
        return _Told(self, name, self._control.fileno())

    def ended(self) -> str | None:
        with contextlib.suppress(BlockingIOError):
            try:
                if self._control.recv(1, socket.MSG_PEEK):
                    return None  # it has something to say yet
            except ConnectionError:
                pass
            return "what kept it for several workers is gone"
        return None

    def wait_for_end(self, seconds: float | None = None) -> str:
        return self.ended() or "left"

    def kill(self) -> None:
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)  # those with whom we share it need it still

    def close(self) -> None:
        self.kill()
        self._control.close()
        self.dead = True
        self.channel.close()
        _reap()


class _Told(Output):
    """What a keeper says, a line each: `log LEVEL TEXT` or `pid NUMBER RESTARTS`."""

    def __init__(self, link: Joined, name: str, file: int) -> None:
        super().__init__(name, file)
        self._link = link

    def _one(self, line: bytes) -> None:
        word, _, rest = line.decode("utf-8", "replace").partition(" ")
        first, _, text = rest.partition(" ")
        if word == "log":
            _log.log(int(first), "%s", text)
        elif word == "pid":
            self._link._told, self._link.restarts = int(first), int(text)


def join(folder: Path, launch: Launch) -> Joined:
    """The link to the host that `launch` describes, shared by all who ask for the same in the same folder.

    ScriptFailed when its keeper cannot be started.
    """
    path = folder / f"script-{_name(launch)}"
    control = socket.socket(socket.AF_UNIX)
    try:
        with locked(path):
            try:
                control.connect(str(path))
            except (FileNotFoundError, ConnectionRefusedError):
                _start(path, launch)
                control.connect(str(path))
            control.setblocking(False)
            return Joined(control)
    except OSError as e:
        control.close()
        raise ScriptFailed(f"the host that workers share cannot be reached: {e}") from e


@contextlib.contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[None]:
    """Nobody else starts or ends the keeper at this path. BlockingIOError if somebody is at it and `wait` is off."""
    import fcntl  # not on Windows, which has no hosts

    file = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(file)


def _start(path: Path, launch: Launch) -> None:
    """A keeper that listens already: whoever connects waits until it can answer."""
    _reap()
    path.unlink(missing_ok=True)  # of one that was killed
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(128)
        process = subprocess.Popen(
            [sys.executable, "-c", _BOOT, json.dumps(sys.path), str(listener.fileno()), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=(listener.fileno(),),
            start_new_session=True,  # signals to the server's processes are not for it
        )
    _started.append(process)
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin:
        process.stdin.write(json.dumps(launch.to_json()).encode())


def _reap() -> None:
    _started[:] = [process for process in _started if process.poll() is None]


def _name(launch: Launch) -> str:
    tree: dict[str, Any] = launch.to_json()
    del tree["config"]["parent"]
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:20]
