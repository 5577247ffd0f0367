"""Core: an infer request's whole way from bytes to bytes, whatever front it came through.

head, body -> codec -> Request -> Model (checks, batcher, dispatch, session, engine) -> Reply -> codec -> responder.
"""

from __future__ import annotations

import asyncio
import logging
import re
import zlib
from concurrent.futures import Executor
from functools import partial
from time import perf_counter_ns

from gantline.errors import BadRequest, EngineFailed, GantlineError, TooLarge, Unavailable, Unsupported
from gantline.request import Reply, Request
from gantline.signature import Signature
from gantline.tensors import Array
from gantline.wire.classification import classify
from gantline.wire.v2 import decode_raw, decode_request, encode_reply

from .admission import COUNTED, ByteBudget, Hold
from .exchange import Gone, Head, Headers, Responder
from .forms import Checked
from .model import Model
from .repository import Repository
from .shared_memory import SharedMemory
from .statistics import Statistics
from .statuses import JSON, retry_after, v2_error
from .ticket import LEFT, Deliver, Ticket
from .wishes import settle, wishes_of

_OCTETS = (b"content-type", b"application/octet-stream")
_PLAIN: Headers = [JSON]
COMPRESS_FROM = 1024  # bytes; below it compression costs more than it saves
_OFF_LOOP = 64 << 10  # bytes; larger answers are written, and compressed, on a thread
_LARGE = 64 << 10  # bytes; larger bodies are decoded on a thread: an MB of JSON takes milliseconds
_LARGE_PACKED = 4 << 10  # the same for compressed ones, which can grow a thousandfold
_ZERO = re.compile(rb"q=0(\.0*)?")
_log = logging.getLogger("gantline.core")


class Core:
    """Answers V2 infer requests. `max_body` bounds what a compressed body may grow to, in bytes."""

    def __init__(
        self, repository: Repository, max_body: int, pool: Executor, memory: SharedMemory, budget: ByteBudget
    ) -> None:
        self.repository = repository
        self.memory = memory
        self.budget = budget
        self.max_body = max_body
        self._pool = pool

    def infer(self, head: Head, body: bytes, responder: Responder) -> None:
        """Answer one request, now or later, through the responder; never raises."""
        arrived = perf_counter_ns()
        try:
            model = self.repository.routes.get(head.path) or self.repository.resolve(head.path)
        except GantlineError as e:
            self.repository.ledger.refused(e)
            self._refuse(e, responder)
            return
        hold: Hold | None = None
        try:
            wishes = wishes_of(head)
            if model.batcher.crowded and not wishes.urgent:
                raise model.batcher.refusal(model.name)  # before the body costs anything
            deliver: Deliver = self._deliver
            if len(body) > COUNTED:
                hold = self.budget.hold(len(body))
                deliver = partial(self._deliver_held, hold)
            length, coding = wishes.length, wishes.coding
            plain = length is None and coding is None
            like = model.forms.like
            if plain and like is not None and (array := like.form.read(body)) is not None:
                request = Request({like.form.name: array}, model.name, model.version)
                self.submit_like(model, like, request, head, responder, deliver, arrived)
                return
            if len(body) > (_LARGE if coding is None else _LARGE_PACKED) or self._reads_much(body):
                self._decode_apart(head, body, length, coding, model, responder, arrived, hold, deliver)
                return
            request = self._decode(body, length, coding, model.signature, model.name)
            ticket = self.submit(model, request, head, responder, deliver, arrived)
            if plain:
                model.forms.remember(body, ticket)
        except GantlineError as e:
            if hold is not None:
                hold.free()
            model.statistics.failed(perf_counter_ns() - arrived, e)
            self._refuse(e, responder)

    def submit(
        self, model: Model, request: Request, head: Head, responder: Gone, deliver: Deliver, arrived: int
    ) -> Ticket:
        """Queue a decoded request, whatever wire it came by; `deliver` is called once, later, on the loop.

        BadRequest if it does not fit the model, Overloaded if there is no room.
        """
        self.settle(model, request, head, arrived)
        return model.submit(request, head, responder, deliver)

    @staticmethod
    def submit_like(
        model: Model, like: Checked, request: Request, head: Head, responder: Gone, deliver: Deliver, arrived: int,
        deadline: int = 0,
    ) -> None:  # fmt: skip
        """The same for a request of a form that was checked before. DeadlineExceeded, Overloaded."""
        request.arrived, request.queued = arrived, perf_counter_ns()
        wishes = wishes_of(head)
        if deadline or wishes.urgent or model.policy.timeout_ns:
            request.deadline = deadline
            settle(request, wishes, model.policy)
        model.submit_like(like, request, head, responder, deliver)

    @staticmethod
    def settle(model: Model, request: Request, head: Head, arrived: int) -> None:
        """Say of a decoded request whose it is, and how it wants to be treated. BadRequest, DeadlineExceeded."""
        request.model, request.version = model.name, model.version
        request.arrived, request.queued = arrived, perf_counter_ns()
        settle(request, wishes_of(head), model.policy)

    def _decode(
        self, body: bytes, length: int | None, coding: bytes | None, signature: Signature, model: str
    ) -> Request:
        if coding is not None:
            body = decompress(body, coding, self.max_body)
        if length == 0:
            return decode_raw(body, signature, model)
        return decode_request(body, length, self.memory.access())

    def _reads_much(self, body: bytes) -> bool:
        """Whether a small body may stand for a large tensor in shared memory."""
        regions = self.memory.regions
        return bool(regions) and b"shared_memory_region" in body and self.memory.largest() > _LARGE

    def _decode_apart(
        self, head: Head, body: bytes, length: int | None, coding: bytes | None, model: Model, responder: Responder,
        arrived: int, hold: Hold | None, deliver: Deliver,
    ) -> None:  # fmt: skip
        """Decode on a thread, so that a large body holds up nobody else, and go on from there on the loop."""

        def decoded(future: asyncio.Future[Request]) -> None:
            # looked at, not raised: an exception that is caught where its future is known keeps the body, in a cycle
            error = None if future.cancelled() else future.exception()
            if hold is not None and (responder.closed or error is not None or future.cancelled()):
                hold.free()
            if responder.closed:
                return
            if error is not None or future.cancelled():
                if not isinstance(error, GantlineError):
                    error = self._broken("a body could not be decoded", error)
                model.statistics.failed(perf_counter_ns() - arrived, error)
                self._refuse(error, responder)
            else:
                self._resume(head, future.result(), responder, arrived, hold, deliver)

        loop = asyncio.get_running_loop()
        try:
            work = loop.run_in_executor(self._pool, self._decode, body, length, coding, model.signature, model.name)
        except RuntimeError as e:  # the pool has been shut down
            raise Unavailable("the server is stopping; try again elsewhere", "stopping") from e
        work.add_done_callback(decoded)

    def _resume(
        self, head: Head, request: Request, responder: Responder, arrived: int, hold: Hold | None, deliver: Deliver
    ) -> None:
        try:
            model = self.repository.resolve(head.path)  # by now another version may be in its place
        except GantlineError as e:
            if hold is not None:
                hold.free()
            self.repository.ledger.refused(e)
            self._refuse(e, responder)
            return
        try:
            self.submit(model, request, head, responder, deliver, arrived)
        except GantlineError as e:
            if hold is not None:
                hold.free()
            model.statistics.failed(perf_counter_ns() - arrived, e)
            self._refuse(e, responder)

    def _deliver_held(
        self, hold: Hold, ticket: Ticket, outputs: list[Array] | None, error: GantlineError | None
    ) -> None:
        hold.free()
        self._deliver(ticket, outputs, error)

    def _deliver(self, ticket: Ticket, outputs: list[Array] | None, error: GantlineError | None) -> None:
        if error is LEFT:
            return
        if outputs is None:
            assert error is not None
            self._failed(ticket, error)
            return
        request = ticket.request
        if request.outputs is None and request.id is None and not request.binary_output:
            began = perf_counter_ns()
            try:
                written = ticket.context.forms.reply(ticket.outputs, outputs)
            except Exception as e:
                self._failed(ticket, self._why(ticket, e))
                return
            if written is not None:
                self._answer(ticket, _PLAIN, written, began)
                return
        if sum([a.nbytes for a in outputs]) > _OFF_LOOP:
            self._encode_apart(ticket, outputs)
        else:
            self._encode_here(ticket, outputs)

    def _encode_here(self, ticket: Ticket, outputs: list[Array]) -> None:
        began = perf_counter_ns()
        try:
            headers, body = self._encode(ticket, outputs)
        except Exception as e:
            self._failed(ticket, self._why(ticket, e))
            return
        self._answer(ticket, headers, body, began)

    def _encode_apart(self, ticket: Ticket, outputs: list[Array]) -> None:
        """Write a large answer on a thread, so that it holds up nobody else."""
        began = perf_counter_ns()

        def written(future: asyncio.Future[tuple[Headers, bytes]]) -> None:
            if future.cancelled():  # the server stops, and this is one of the last answers
                self._encode_here(ticket, outputs)
            elif (error := future.exception()) is not None:
                self._failed(ticket, self._why(ticket, error))
            else:
                self._answer(ticket, *future.result(), began)

        try:
            work = asyncio.get_running_loop().run_in_executor(self._pool, self._encode, ticket, outputs)
        except RuntimeError:  # the pool has been shut down, too
            self._encode_here(ticket, outputs)
            return
        work.add_done_callback(written)

    def _answer(self, ticket: Ticket, headers: Headers, body: bytes, began: int) -> None:
        """Send a written answer; writing it took from `began` on."""
        statistics: Statistics = ticket.context.statistics
        ended = perf_counter_ns()
        if ticket.counted:
            statistics.succeeded(ended - ticket.request.arrived, ended - began)
        if len(body) >= COMPRESS_FROM and (coding := _accepted(ticket.head)):
            self._send_compressed(ticket.responder, headers, body, coding)
        else:
            ticket.responder.send(200, headers, body)

    def _failed(self, ticket: Ticket, error: GantlineError) -> None:
        if ticket.counted:
            ticket.context.statistics.failed(perf_counter_ns() - ticket.request.arrived, error)
        self._refuse(error, ticket.responder)

    def _why(self, ticket: Ticket, error: BaseException) -> GantlineError:
        if isinstance(error, GantlineError):
            return error.with_traceback(None)  # else it keeps a frame, and the frame it
        return self._broken(f"model '{ticket.request.model}': its answer could not be written", error)

    def _encode(self, ticket: Ticket, outputs: list[Array]) -> tuple[Headers, bytes]:
        request = ticket.request
        model: Model = ticket.context
        wishes = request.outputs
        if wishes is not None:
            outputs = [
                classify(a, model.signature.output(w.name), w.classes, model.stacked) if w.classes else a
                for w, a in zip(wishes, outputs, strict=True)
            ]
        named = list(zip(ticket.outputs, outputs, strict=True))
        body, length = encode_reply(
            Reply(request.model, request.version, named, request.id), request, self.memory.access()
        )
        if length is None:
            return _PLAIN, body
        return [_OCTETS, (b"inference-header-content-length", b"%d" % length)], body

    def _broken(self, what: str, error: BaseException | None) -> EngineFailed:
        """What to say of a fault of ours: the traceback goes to the log."""
        _log.error(what, exc_info=error)
        return EngineFailed(f"{what}; see the server's log")

    def _refuse(self, error: GantlineError, responder: Responder) -> None:
        status, body = v2_error(error)
        extra: Headers = [(b"accept-encoding", b"gzip, deflate")] if isinstance(error, UnknownCoding) else []
        responder.send(status, [JSON, *extra, *retry_after(error)], body)

    def _send_compressed(self, responder: Responder, headers: Headers, body: bytes, coding: bytes) -> None:
        headers = [*headers, (b"content-encoding", coding), (b"vary", b"accept-encoding")]
        if len(body) <= _OFF_LOOP:
            responder.send(200, headers, compress(body, coding))
            return

        def compressed(future: asyncio.Future[bytes]) -> None:
            if future.cancelled() or future.exception() is not None:
                self._refuse(self._broken("an answer could not be compressed", None), responder)
            else:
                responder.send(200, headers, future.result())

        try:
            work = asyncio.get_running_loop().run_in_executor(self._pool, compress, body, coding)
        except RuntimeError:  # the pool has been shut down: this is one of the last answers
            responder.send(200, headers[:-2], body)
            return
        work.add_done_callback(compressed)


class UnknownCoding(Unsupported):
    """A Content-Encoding that is not spoken here; the answer lists those that are."""


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


def _accepted(head: Head) -> bytes | None:
    accepted = head.get(b"accept-encoding")
    if accepted is None:
        return None
    for part in accepted.lower().split(b","):
        name, _, weight = part.partition(b";")
        if name.strip() in (b"gzip", b"deflate") and not _ZERO.fullmatch(weight.replace(b" ", b"")):
            return name.strip()
    return None
