"""Core: an infer request's whole way from bytes to bytes, whatever front it came through.

head, body -> face, codec -> Request -> Model (checks, batcher, dispatch, session, engine) -> face, codec -> responder.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from time import perf_counter_ns

from gantline.errors import EngineFailed, GantlineError, Unavailable
from gantline.request import Request
from gantline.tensors import Array

from .admission import COUNTED, ByteBudget, Hold
from .compression import COMPRESS_FROM, UnknownCoding, accepted, compress, decompress
from .exchange import Gone, Head, Headers, Responder
from .faces.face import Face
from .faces.v2 import V2Face
from .forms import Checked, Forms
from .model import Model
from .repository import Repository
from .shared_memory import SharedMemory
from .standby import Standby, when_loaded
from .statistics import Statistics
from .statuses import JSON, retry_after
from .ticket import LEFT, Deliver, Ticket
from .wishes import settle, wishes_of

_OFF_LOOP = 64 << 10  # bytes; larger answers are written, and compressed, on a thread
_LARGE = 64 << 10  # bytes; larger bodies are decoded on a thread: an MB of JSON takes milliseconds
_LARGE_PACKED = 4 << 10  # the same for compressed ones, which can grow a thousandfold
_FORGETFUL = Forms("", "", lambda body, request: None, lambda names, arrays: None)
_log = logging.getLogger("gantline.core")


class Core:
    """Answers the infer requests of one face. `max_body` bounds what a compressed body may grow to, in bytes."""

    def __init__(
        self, repository: Repository, max_body: int, pool: Executor, memory: SharedMemory, budget: ByteBudget,
        face: Face | None = None,
    ) -> None:  # fmt: skip
        """The face is V2's if none is given."""
        self.repository = repository
        self.memory = memory
        self.budget = budget
        self.max_body = max_body
        self.face = face or V2Face(memory)
        self.routes = repository.routes if face is None else repository.route(face.paths)
        self._other = face is not None  # V2's forms are at hand
        self._pool = pool

    def beside(self, face: Face) -> Core:
        """The same for another face: what is bounded is bounded for both together."""
        return Core(self.repository, self.max_body, self._pool, self.memory, self.budget, face)

    def infer(self, head: Head, body: bytes, responder: Responder, arrived: int = 0) -> None:
        """Answer one request, now or later, through the responder; never raises. `arrived`: if not just now."""
        arrived = arrived or perf_counter_ns()
        try:
            model = self.routes.get(head.path) or self.find(head.path)
        except GantlineError as e:
            self.absent(e, head, responder, partial(self.infer, head, body, responder, arrived), arrived, len(body))
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
            forms = self._forms(model, head) if self._other else model.forms
            like = forms.like
            if plain and like is not None and (array := like.form.read(body)) is not None:
                request = Request({like.form.name: array}, model.name, model.version)
                if self._other:
                    request.asked = like.form.asked
                self.submit_like(model, like, request, head, responder, deliver, arrived)
                return
            if len(body) > (_LARGE if coding is None else _LARGE_PACKED) or self.face.heavy(body):
                self._decode_apart(head, body, coding, model, responder, arrived, hold, deliver)
                return
            request = self._decode(head, body, coding, model)
            ticket = self.submit(model, request, head, responder, deliver, arrived)
            if plain:
                forms.remember(body, ticket)
        except GantlineError as e:
            if hold is not None:
                hold.free()
            model.statistics.failed(perf_counter_ns() - arrived, e)
            self._refuse(e, responder, model.mark)

    def find(self, path: bytes) -> Model:
        """The model of an infer path that is not in `routes`: unusual quoting, or an error to explain."""
        return self.repository.find(*self.face.locate(path))

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

    def _forms(self, model: Model, head: Head) -> Forms:
        """What a model remembers of messages of this face, and of a head's kind."""
        face = self.face
        style = face.style(head)
        if style is None:
            return _FORGETFUL
        forms = model.other_forms.get((face.name, style))
        if forms is None:
            reply_form = partial(face.reply_form, model)
            forms = Forms(model.name, model.version, face.request_form, reply_form)
            model.other_forms[face.name, style] = forms
        return forms

    def _decode(self, head: Head, body: bytes, coding: bytes | None, model: Model) -> Request:
        if coding is not None:
            body = decompress(body, coding, self.max_body)
        return self.face.read(head, body, model)

    def _decode_apart(
        self, head: Head, body: bytes, coding: bytes | None, model: Model, responder: Responder,
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
                self._refuse(error, responder, model.mark)
            else:
                self._resume(head, future.result(), responder, arrived, hold, deliver)

        loop = asyncio.get_running_loop()
        try:
            work = loop.run_in_executor(self._pool, self._decode, head, body, coding, model)
        except RuntimeError as e:  # the pool has been shut down
            raise Unavailable("the server is stopping; try again elsewhere", "stopping") from e
        work.add_done_callback(decoded)

    def _resume(
        self, head: Head, request: Request, responder: Responder, arrived: int, hold: Hold | None, deliver: Deliver
    ) -> None:
        try:
            model = self.find(head.path)  # by now another version may be in its place
        except GantlineError as e:
            again = partial(self._resume, head, request, responder, arrived, hold, deliver)
            self.absent(e, head, responder, again, arrived, hold=hold)
            return
        try:
            self.submit(model, request, head, responder, deliver, arrived)
        except GantlineError as e:
            if hold is not None:
                hold.free()
            model.statistics.failed(perf_counter_ns() - arrived, e)
            self._refuse(e, responder, model.mark)

    def absent(
        self, error: GantlineError, head: Head, responder: Responder, again: Callable[[], None], arrived: int,
        size: int = 0, hold: Hold | None = None,
    ) -> None:  # fmt: skip
        """The model of a request is not there, or not yet: then do it `again` when it is. `size`: of what is kept."""

        def refuse(error: GantlineError) -> None:
            if hold is not None:
                hold.free()
            self.repository.ledger.refused(error)
            self._refuse(error, responder)

        timeout = 0
        try:
            if isinstance(error, Standby):
                timeout = wishes_of(head).timeout_ns
        except GantlineError as e:
            error = e
        when_loaded(error, again, refuse, arrived + timeout if timeout else 0, size if size > COUNTED else 0)

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
        if request.outputs is None and request.id is None and not request.binary_output and request.asked is None:
            began = perf_counter_ns()
            try:
                forms = self._forms(ticket.context, ticket.head) if self._other else ticket.context.forms
                written = forms.reply(ticket.outputs, outputs)
            except Exception as e:
                self._failed(ticket, self._why(ticket, e))
                return
            if written is not None:
                self._answer(ticket, ticket.context.plain, written, began)
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
        if len(body) >= COMPRESS_FROM and (coding := accepted(ticket.head)):
            self._send_compressed(ticket.responder, headers, body, coding)
        else:
            ticket.responder.send(200, headers, body)

    def _failed(self, ticket: Ticket, error: GantlineError) -> None:
        if ticket.counted:
            ticket.context.statistics.failed(perf_counter_ns() - ticket.request.arrived, error)
        self._refuse(error, ticket.responder, ticket.context.mark)

    def _why(self, ticket: Ticket, error: BaseException) -> GantlineError:
        if isinstance(error, GantlineError):
            return error.with_traceback(None)  # else it keeps a frame, and the frame it
        return self._broken(f"model '{ticket.request.model}': its answer could not be written", error)

    def _encode(self, ticket: Ticket, outputs: list[Array]) -> tuple[Headers, bytes]:
        model: Model = ticket.context
        headers, body = self.face.write(ticket.request, model, list(zip(ticket.outputs, outputs, strict=True)))
        return (model.plain if len(headers) == 1 and headers[0] is JSON else [*headers, *model.mark]), body

    def _broken(self, what: str, error: BaseException | None) -> EngineFailed:
        """What to say of a fault of ours: the traceback goes to the log."""
        _log.error(what, exc_info=error)
        return EngineFailed(f"{what}; see the server's log")

    def _refuse(self, error: GantlineError, responder: Responder, mark: Sequence[tuple[bytes, bytes]] = ()) -> None:
        """`mark`: the headers of the model's answers, where it is known which one was asked."""
        status, headers, body = self.face.refuse(error)
        extra: Headers = [(b"accept-encoding", b"gzip, deflate")] if isinstance(error, UnknownCoding) else []
        responder.send(status, [*headers, *extra, *retry_after(error), *mark], body)

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
