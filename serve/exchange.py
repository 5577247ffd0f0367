"""Head and Responder: what a front gives a handler, and what a handler answers through."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from .keys import Key, KeySet

Headers: TypeAlias = list[tuple[bytes, bytes]]
DIGEST = b"gantline-package-digest"


class Standing(Headers):
    """Headers that many answers have, as one object that does not change: fronts keep here what they made of them.

    `head`: of a 200 answer over HTTP/1.1, `made_for` the headers of every answer; `pairs`: gRPC's metadata.
    """

    __slots__ = ("head", "made_for", "pairs")

    def __init__(self, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(headers)
        self.head = b""
        self.made_for: Headers | None = None
        self.pairs = tuple((name.decode(), value.decode("latin-1")) for name, value in headers)


class Head:
    """A request's head: method and raw path as sent (no query), header names in lower case.

    `key` is whose key it came with, and `keys` the version of the keys file that let it in: see serve.access.
    `in_turn`: its connection asks again only after an answer, and with this very head when it is the same.
    """

    __slots__ = ("client", "headers", "in_turn", "key", "keys", "method", "path", "query", "secure", "wishes")

    def __init__(
        self,
        method: bytes,
        path: bytes,
        query: bytes,
        headers: Headers,
        client: tuple[str, int] | None = None,
        secure: bool = False,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.client = client
        self.secure = secure
        self.in_turn = False
        self.key: Key | None = None
        self.keys: KeySet | None = None
        self.wishes: Any = None  # what the headers ask for, once read: heads are used again for requests alike

    def get(self, name: bytes) -> bytes | None:
        """The first value of a header (name in lower case), or None."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


class Gone(Protocol):
    """All that the queue asks of whoever waits for an answer."""

    @property
    def closed(self) -> bool:
        """Whether the client has left: its request need not run."""
        ...


class Responder(Protocol):
    """One answer: `send` once, or `start`, any number of `chunk`, `end`. After the client left, calls do nothing."""

    @property
    def closed(self) -> bool:
        """Whether the client has left."""
        ...

    def send(self, status: int, headers: Headers, body: bytes) -> None:
        """The whole answer; content-length is added."""
        ...

    def start(self, status: int, headers: Headers) -> None:
        """Begin a streamed answer."""
        ...

    def chunk(self, data: bytes) -> None:
        """One piece of a streamed answer."""
        ...

    def end(self) -> None:
        """The end of a streamed answer."""
        ...

    def abort(self) -> None:
        """Close the connection: the only honest end of a stream that failed."""
        ...

    async def drain(self) -> None:
        """Wait until the client has taken enough of what was sent."""
        ...

    def on_close(self, callback: Callable[[], None]) -> None:
        """Call back once if the client leaves before the answer is complete."""
        ...


# A handler answers now or later, through the responder; it must not raise.
Handler: TypeAlias = Callable[[Head, bytes, Responder], None]
