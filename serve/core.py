"""Core: an infer request's whole way from bytes to bytes, whatever front it came through.

head, body -> codec -> Request -> Model (checks, batcher, dispatch, session, engine) -> Reply -> codec -> responder.
"""

from __future__ import annotations

import asyncio
import zlib
from concurrent.futures import Executor
from time import perf_counter_ns

from gantline.errors import BadRequest, GantlineError, TooLarge, Unsupported
from gantline.request import Reply, Request
from gantline.tensors import Array
from gantline.wire.classification import classify
from gantline.wire.v2 import decode_raw, decode_request, encode_reply

from .batcher import Ticket
from .exchange import Head, Headers, Responder
from .model import Model
from .repository import Repository
from .statuses import JSON, v2_error

_OCTETS = (b"content-type", b"application/octet-stream")
_LOOKED_AT = frozenset((b"inference-header-content-length", b"content-encoding", b"accept-encoding"))
COMPRESS_FROM = 1024  # bytes; below it compression costs more than it saves
_OFF_LOOP = 64 << 10  # bytes; larger answers are compressed on a thread


class Core:
    """Answers V2 infer requests. `max_body` bounds what a compressed body may grow to, in bytes."""

    def __init__(self, repository: Repository, max_body: int, pool: Executor) -> None:
        self.repository = repository
        self.max_body = max_body
        self._pool = pool

    def infer(self, head: Head, body: bytes, responder: Responder) -> None:
        """Answer one request, now or later, through the responder; never raises."""
        arrived = perf_counter_ns()
        try:
            model = self.repository.routes.get(head.path) or self.repository.resolve(head.path)
        except GantlineError as e:
            self._refuse(e, responder)
            return
        try:
            request = self._decode(head, body, model)
            request.arrived = arrived
            request.queued = perf_counter_ns()
            model.submit(request, _Exchange(head, responder, model), self._deliver)
        except GantlineError as e:
            model.statistics.fail.add(perf_counter_ns() - arrived)
            self._refuse(e, responder)

    def _decode(self, head: Head, body: bytes, model: Model) -> Request:
        length: int | None = None
        for name, value in head.headers:
            if name not in _LOOKED_AT:
                continue
            if name == b"inference-header-content-length":
                length = _header_length(value)
            elif name == b"content-encoding":
                body = decompress(body, value, self.max_body)
        if length == 0:
            return decode_raw(body, model.signature, model.name)
        return decode_request(body, length)

    def _deliver(self, ticket: Ticket, outputs: list[Array] | None, error: GantlineError | None) -> None:
        exchange: _Exchange = ticket.context
        request = ticket.request
        statistics = exchange.model.statistics
        if outputs is not None:
            try:
                headers, body = self._encode(ticket, outputs)
            except GantlineError as e:
                error = e
        if error is not None:
            statistics.fail.add(perf_counter_ns() - request.arrived)
            self._refuse(error, exchange.responder)
            return
        statistics.success.add(perf_counter_ns() - request.arrived)
        if len(body) >= COMPRESS_FROM and (coding := _coding(exchange.head)):
            self._send_compressed(exchange.responder, headers, body, coding)
        else:
            exchange.responder.send(200, headers, body)

    def _encode(self, ticket: Ticket, outputs: list[Array]) -> tuple[Headers, bytes]:
        request = ticket.request
        named = list(zip(ticket.outputs, outputs, strict=True))
        if request.outputs is not None:
            model: Model = ticket.context.model
            for i, wish in enumerate(request.outputs):
                if wish.classes:
                    named[i] = (wish.name, classify(named[i][1], model.signature.output(wish.name), wish.classes,
                                                    model.stacked))  # fmt: skip
        body, length = encode_reply(Reply(request.model, request.version, named, request.id), request)
        if length is None:
            return [JSON], body
        return [_OCTETS, (b"inference-header-content-length", b"%d" % length)], body

    def _refuse(self, error: GantlineError, responder: Responder) -> None:
        status, body = v2_error(error)
        extra: Headers = [(b"accept-encoding", b"gzip, deflate")] if isinstance(error, UnknownCoding) else []
        responder.send(status, [JSON, *extra], body)

    def _send_compressed(self, responder: Responder, headers: Headers, body: bytes, coding: bytes) -> None:
        headers = [*headers, (b"content-encoding", coding), (b"vary", b"accept-encoding")]
        if len(body) <= _OFF_LOOP:
            responder.send(200, headers, compress(body, coding))
            return
        future = asyncio.get_running_loop().run_in_executor(self._pool, compress, body, coding)
        future.add_done_callback(lambda f: responder.send(200, headers, f.result()))


class _Exchange:
    """What a ticket remembers of how to answer."""

    __slots__ = ("head", "model", "responder")

    def __init__(self, head: Head, responder: Responder, model: Model) -> None:
        self.head = head
        self.responder = responder
        self.model = model


class UnknownCoding(Unsupported):
    """A Content-Encoding that is not spoken here; the answer lists those that are."""


def _header_length(value: bytes) -> int:
    if not value.isdigit() or len(value) > 18:
        raise BadRequest(f"Inference-Header-Content-Length is {value.decode('latin-1')!r}, expected a whole number")
    return int(value)


def decompress(body: bytes, coding: bytes, limit: int) -> bytes:
    """A body as it was before Content-Encoding; TooLarge beyond `limit` bytes, BadRequest for damaged data."""
    name = coding.strip().lower()
    if name in (b"identity", b""):
        return body
    if name not in (b"gzip", b"x-gzip", b"deflate"):
        raise UnknownCoding(f"Content-Encoding {coding.decode('latin-1')!r} is not supported; use gzip or deflate")
    machine = zlib.decompressobj(31 if name != b"deflate" else 15)
    try:
        out = machine.decompress(body, limit + 1)
    except zlib.error as e:
        raise BadRequest(f"the {name.decode()} body is damaged: {e}") from e
    if len(out) > limit:
        raise TooLarge(f"the decompressed body is larger than {limit} bytes")
    if not machine.eof:
        raise BadRequest(f"the {name.decode()} body is cut off")
    if machine.unused_data:
        raise BadRequest(f"the {name.decode()} body has {len(machine.unused_data)} bytes after its end")
    return out


def compress(body: bytes, coding: bytes) -> bytes:
    """A body under gzip or deflate, at the fastest level."""
    machine = zlib.compressobj(1, zlib.DEFLATED, 31 if coding == b"gzip" else 15)
    return machine.compress(body) + machine.flush()


def _coding(head: Head) -> bytes | None:
    accepted = head.get(b"accept-encoding")
    if accepted is None:
        return None
    for part in accepted.lower().split(b","):
        name, _, weight = part.strip().partition(b";")
        if name.strip() in (b"gzip", b"deflate") and weight.replace(b" ", b"") not in (b"q=0", b"q=0.0", b"q=0.00"):
            return name.strip()
    return None
