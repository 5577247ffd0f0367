"""What becomes of a request on HTTP/2: an RPC, a hot handler's, or the slow road's; and what is refused at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import zttp

from ..exchange import Head
from .h2_grpc import RESOURCE_EXHAUSTED, GrpcStream
from .h2_slow import Slow
from .h2_stream import Plain, Stream

if TYPE_CHECKING:
    from .h2_connection import Http2

_GRPC = b"application/grpc"
_ZTTP_LIMIT = 64 << 10  # bytes; its own limit of a head, which cannot be set


def begin(connection: Http2, event: zttp.Request) -> Stream:
    """Make the stream of a request whose head has come, and put it into the connection's table."""
    headers = list(event.headers) if type(event.headers) is not list else event.headers
    kind, length = b"", 0
    for name, value in headers:
        if name == b"content-type":
            kind = value
        elif name == b"content-length":
            length = int(value)  # zttp has looked at it
    head = Head(event.method, event.path, event.query, headers, connection.client, connection.secure)
    post = event.method == b"POST"
    if post and kind.startswith(_GRPC) and kind[len(_GRPC) : len(_GRPC) + 1] in (b"", b"+", b";"):
        return _call(connection, event.stream_id, head)
    front = connection.front
    handler = front.handler(event.path) if post else None
    if handler is None:
        stream: Plain = Slow(connection, event.stream_id, head)
    else:
        stream = Plain(connection, event.stream_id, head, handler)
    connection.streams[event.stream_id] = stream
    if not _fits(connection, head):
        stream.refuse(431, f"the request's head is larger than {front.max_header_bytes} bytes")
    elif post and connection.rpc.has(event.path):
        stream.refuse(415, "this is a gRPC method: the content-type must be application/grpc")
    elif handler is not None and (refused := front.refused(head)) is not None:
        stream.send(*refused)
    else:
        stream.begin(length)
    return stream


def _call(connection: Http2, id: int, head: Head) -> Stream:
    call = GrpcStream(connection, id, head)
    connection.streams[id] = call
    if _fits(connection, head):
        call.begin()
    else:
        call.finish(RESOURCE_EXHAUSTED, f"the metadata is larger than {connection.front.max_header_bytes} bytes")
    return call


def _fits(connection: Http2, head: Head) -> bool:
    limit = connection.front.max_header_bytes
    return limit >= _ZTTP_LIMIT or sum(len(k) + len(v) + 4 for k, v in head.headers) + len(head.path) <= limit
