"""Channel: two rings in one shared mapping, and a Unix socket that wakes the other side and carries large payloads.

Runs on both sides of the link, so it imports nothing but the standard library. Linux keeps payloads in memfds; macOS
in unlinked temporary files. Windows has no Unix sockets in Python, so there are no script hosts on it.
"""

from __future__ import annotations

import mmap
import os
import socket
import struct
import tempfile
from array import array
from collections import deque

from .ring import HEAD, Damaged, Message, Ring, fence

# parent to child
SCORE = 1  # status: method; meta: query, content type and headers; body: the request's body
TENSORS = 2  # meta: what the tensors are; body: their data
# child to parent
READY = 10  # body: JSON about the script
FAILED = 11  # body: JSON about what went wrong while loading
REPLY = 12  # final. status: HTTP; aux: nanoseconds inside run(); meta: headers; body: the answer's body
START = 13  # a streamed answer begins
CHUNK = 14
END = 15  # final, of a streamed answer
BROKEN = 16  # final: a streamed answer whose generator raised, or a host that died; status 503: was never begun
# flags
IN_FILE = 1  # the body is not in the ring but in a file that was passed over the socket
RUN_FAILED = 2  # run() itself raised: x-ms-run-function-failed
TIMED_OUT = 4
CANCELLED = 8
OWN_HEADERS = 16  # the script answered a response object: meta holds all of its headers
RAN = 32  # aux is the time inside run()
NOT_MINE = 64  # the answer could not be turned into JSON
DIED = 128  # the server says so, of a host that is no more
# kinds of records on the socket: kind, id, value
_BELL, _FILE, _CANCEL, _CREDIT = 0, 1, 2, 3
_RECORD = struct.Struct("<IIQ")
_ONE_BELL = _RECORD.pack(_BELL, 0, 0)
_ANCILLARY = socket.CMSG_SPACE(8 * struct.calcsize("i")) if hasattr(socket, "CMSG_SPACE") else 0

RING = 1 << 20
INLINE = RING // 4  # a larger body travels as a file
_WORDS = 4096
MAPPING = _WORDS + 2 * RING
WINDOW = 256 << 10  # bytes of a streamed answer on their way before the client must have taken some
AHEAD = 16  # answers of a script that yields, at most, within the window
_CONTROL = 48  # how many _CANCEL and _CREDIT records the parent has sent


def cost(size: int) -> int:
    """What one yielded answer of `size` bytes takes of the window, and what is given back when it was taken."""
    return max(size, WINDOW // AHEAD)


class Gone(Exception):
    """The other side has closed its end."""


class Channel:
    """One end. Not safe for threads: the parent guards sending and receiving with a lock each."""

    def __init__(self, sock: socket.socket, mapping: mmap.mmap, parent: bool) -> None:
        self.sock = sock
        self._mapping = mapping
        whole = memoryview(mapping)
        self._words = whole[:_WORDS].cast("Q")
        rings = (
            Ring(whole[_WORDS : _WORDS + RING], self._words, 0),
            Ring(whole[_WORDS + RING : MAPPING], self._words, 16),
        )
        self._whole = whole
        self.out, self.into = rings if parent else rings[::-1]
        self._mine, self._theirs = (32, 40) if parent else (40, 32)  # words that say: I sleep, wake me
        self._my_room, self._their_room = (56, 64) if parent else (64, 56)  # I wait for room
        if parent:
            self._words[self._mine] = 1  # it waits for the host's first word
        self._files: deque[int] = deque()
        self._partial = b""
        self._unsent = bytearray()
        self._seen = 0
        self._control = 0
        self.cancelled: set[int] = set()
        self.credit: dict[int, int] = {}

    def __repr__(self) -> str:
        return f"<Channel in={self.into!r} out={self.out!r}>"

    # sending

    def send(
        self, kind: int, id: int, flags: int = 0, status: int = 0, aux: int = 0, meta: bytes = b"", body: bytes = b""
    ) -> int:
        """Write a message without waking the other side; its position, or 0 if there is no room now."""
        if len(body) + len(meta) <= INLINE:
            return self._push(kind, id, flags, status, aux, meta, body)
        if not self.out.push_fits(HEAD + len(meta)):
            self._words[self._my_room] = 1
            return 0
        if not self._send_file(id, body):
            return 0
        return self._push(kind, id, flags | IN_FILE, status, aux, meta, b"")

    def _send_file(self, id: int, body: bytes) -> bool:
        self._flush()
        if self._unsent:
            return False  # nothing may overtake half a record
        file = _file_of(body)
        record = _RECORD.pack(_FILE, id, len(body))
        try:
            sent = socket.send_fds(self.sock, [record], [file])
        except OSError:
            return False  # full of files: later; or dead, which is learned elsewhere
        finally:
            os.close(file)
        self._unsent += record[sent:]
        return True

    def _push(self, kind: int, id: int, flags: int, status: int, aux: int, meta: bytes, body: bytes) -> int:
        position = self.out.push(kind, id, flags, status, aux, meta, body)
        if not position:
            self._words[self._my_room] = 1
            fence()
            position = self.out.push(kind, id, flags, status, aux, meta, body)
        return position

    def wake(self) -> None:
        """Ring the bell if the other side sleeps. Once after any number of sends."""
        fence()
        if self._words[self._theirs]:
            self._words[self._theirs] = 0
            self._record(_BELL, 0, 0)

    def cancel(self, id: int) -> None:
        """Tell the host that nobody waits for this answer any longer."""
        self._tell(_CANCEL, id, 0)

    def allow(self, id: int, size: int) -> None:
        """Tell the host that it may send `size` more bytes of this streamed answer."""
        self._tell(_CREDIT, id, size)

    def _tell(self, kind: int, id: int, value: int) -> None:
        self._record(kind, id, value)
        self._control += 1
        self._words[_CONTROL] = self._control

    def _record(self, kind: int, id: int, value: int) -> None:
        self._unsent += _RECORD.pack(kind, id, value)
        self._flush()

    def _flush(self) -> None:
        try:
            sent = self.sock.send(self._unsent)
        except BlockingIOError:
            return  # goes with the next record; a host that reads nothing is killed by its time limit
        except OSError:
            self._unsent.clear()
            return  # dead: whoever waits for its answers learns that elsewhere
        del self._unsent[:sent]

    # receiving

    def take(self) -> Message | None:
        """The next message, or None. Gone or Damaged when there will be none."""
        message = self.into.pop()
        if message is None:
            return None
        if self._words[self._their_room]:
            self._words[self._their_room] = 0
            self._record(_BELL, 0, 0)
        if message.flags & IN_FILE:
            while not self._files:
                self.read_records()
            message = message._replace(body=_content(self._files.popleft()))
        return message

    def may_sleep(self) -> bool:
        """Announce that this side is about to wait for the socket; False if there is a message after all."""
        self._words[self._mine] = 1
        fence()
        if self._words[self._their_room]:
            self._words[self._their_room] = 0
            self._record(_BELL, 0, 0)
        if self.into.empty:
            return True
        self._words[self._mine] = 0
        return False

    def awake(self) -> None:
        """This side looks at its ring by itself now: no bells needed."""
        self._words[self._mine] = 0

    def read_records(self) -> None:
        """Read the socket once (waiting if it blocks). Gone when the other side closed it."""
        data, ancillary, _, _ = self.sock.recvmsg(2048, _ANCILLARY)
        for level, kind, found in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                files = array("i")
                files.frombytes(found[: len(found) - len(found) % files.itemsize])
                self._files.extend(files)
        if data == _ONE_BELL and not self._partial:
            return  # nearly always
        if not data:
            raise Gone
        data = self._partial + data
        whole = len(data) - len(data) % _RECORD.size
        self._partial = data[whole:]
        for kind, id, value in _RECORD.iter_unpack(data[:whole]):
            if kind == _CANCEL:
                self.cancelled.add(id)
                self._seen += 1
            elif kind == _CREDIT:
                if id in self.credit:  # else the stream is over
                    self.credit[id] += value
                self._seen += 1

    def told(self) -> None:
        """Read what the parent has told since the last look (in the child); costs nothing when there is nothing."""
        while self._seen < self._words[_CONTROL]:  # the record is sent before it is counted
            self.read_records()

    def wait_for_room(self) -> None:
        """Block until the other side has taken something (in the child)."""
        self._words[self._my_room] = 1
        self.wake()
        fence()
        if not self.out.push_fits(INLINE + HEAD):
            self.read_records()

    def close(self) -> None:
        """Give socket, files and mapping back."""
        self.sock.close()
        while self._files:
            os.close(self._files.popleft())
        self.out.release()
        self.into.release()
        self._words.release()
        self._whole.release()
        self._mapping.close()


def open_mapping() -> tuple[int, mmap.mmap]:
    """A new shared mapping, zeroed, and the descriptor to give to the other side."""
    file = _memory_file()
    os.ftruncate(file, MAPPING)
    return file, mmap.mmap(file, MAPPING)


def join_mapping(file: int) -> mmap.mmap:
    """Map what the parent has opened."""
    return mmap.mmap(file, MAPPING)


def _memory_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("gantline")
    with tempfile.TemporaryFile(prefix="gantline-") as f:
        return os.dup(f.fileno())


def _file_of(body: bytes) -> int:
    file = _memory_file()
    view = memoryview(body)
    while view:
        view = view[os.write(file, view) :]
    return file


def _content(file: int) -> bytes:
    try:
        size = os.fstat(file).st_size
        with mmap.mmap(file, size, access=mmap.ACCESS_READ) as m:
            return bytes(m)
    except (OSError, ValueError) as e:
        raise Damaged(f"a payload that cannot be read: {e}") from e
    finally:
        os.close(file)
