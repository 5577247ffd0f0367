"""Scissors: a TCP proxy that cuts connections where it is told to, and counts what has gone to the server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Scissors:
    """A TCP proxy that counts what goes to a server, and cuts a connection when that passes a mark; each mark once."""

    port: int
    marks: list[int] = field(default_factory=list)
    counted: int = 0
    cuts: int = 0
    when_answered: bool = False  # cut once more when the server has answered
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def serving(self) -> Iterator[int]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=self._accept, args=(listener,))
            thread.start()
            yield listener.getsockname()[1]
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()

    def _accept(self, listener: socket.socket) -> None:
        threads = []
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threads.append(threading.Thread(target=self._connect, args=(client,)))
                threads[-1].start()
        for thread in threads:
            thread.join()

    def _connect(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self.port)) as server:
            back = threading.Thread(target=self._pass, args=(server, client, False))
            back.start()
            self._pass(client, server, True)
            back.join()

    def _pass(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        with suppress(OSError):
            while piece := source.recv(1 << 18):
                wished = not counts and self._is_wished()
                if wished:  # the server is gone before the client can send it more
                    source.shutdown(socket.SHUT_RDWR)
                target.sendall(piece)
                if wished or (counts and self._is_marked(len(piece))):
                    break
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _is_wished(self) -> bool:
        with self._lock:
            wished, self.when_answered = self.when_answered, False
            self.cuts += wished
        return wished

    def _is_marked(self, count: int) -> bool:
        with self._lock:
            self.counted += count
            if self.marks and self.counted >= self.marks[0]:
                self.marks.pop(0)
                return True
        return False
