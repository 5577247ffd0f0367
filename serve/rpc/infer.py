"""Infer: ModelInfer, and what it shares with ModelStreamInfer: from a message's bytes to the queue, and back.

bytes -> wire.v2_grpc -> Request -> Core.submit (Model, batcher, dispatch, session, engine) -> wire.v2_grpc -> bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Executor
from functools import partial
from time import perf_counter_ns
from typing import TypeAlias

from gantline.errors import GantlineError, Unavailable
from gantline.request import Parameter, Reply, Request
from gantline.tensors import Array
from gantline.wire.classification import classify
from gantline.wire.v2_grpc import Envelope, encode_reply, is_slow, parse

from ..admission import COUNTED, Hold
from ..core import Core
from ..exchange import Head
from ..model import Model
from ..repository import Repository
from ..standby import when_loaded
from ..statistics import Statistics
from ..streaming import answers
from ..ticket import LEFT, Deliver, Ticket
from .answering import broken, refuse
from .call import Call
from .gate import Gate
from .likes import Like, Likes

# called once with what was wrong, and with the request's id and its model as far as they are known
Refuse: TypeAlias = Callable[[GantlineError, str, Model | None], None]
# takes a request to a model that answers any number of times, and what to call when it has had its last answer
Many: TypeAlias = Callable[[Model, Request, Callable[[], None]], None]
EMPTY_FINAL = "triton_enable_empty_final_response"


class Infer:
    """Inference by gRPC. `pool` decodes what would hold up the loop."""

    def __init__(self, repository: Repository, core: Core, gate: Gate, pool: Executor) -> None:
        self._repository = repository
        self._core = core
        self._gate = gate
        self._pool = pool
        self._models: dict[tuple[str, str], Model] = {}  # only what was found: bounded by what is loaded
        self._likes = Likes()
        repository.listeners += (self._models.clear, self._likes.forget)

    def method(self, call: Call, data: bytes) -> None:
        """ModelInfer: one request, one answer."""
        self.start(
            call, data, self._deliver, lambda error, _, model: refuse(call, error, model.mark if model else None)
        )

    def start(self, call: Call, data: bytes, deliver: Deliver, refuse: Refuse, many: Many | None = None) -> None:
        """Decode and queue one request of a call; later either `deliver` is called or, now or later, `refuse`.

        `many` is called instead of them for a model that may answer more than once; None: it is refused.
        """
        arrived = perf_counter_ns()
        try:
            self._gate.admit(call.head)
            if len(data) > COUNTED:
                deliver, refuse, many = _held(self._core.budget.hold(len(data)), deliver, refuse, many)
            if (seen := self._likes.read(data)) is not None:
                self._queue_like(call, *seen, deliver, refuse, arrived)
                return
            if is_slow(data) or self._reads_much(data):
                self._decode_apart(call, data, deliver, refuse, many, arrived)
                return
            envelope = parse(data)
        except GantlineError as e:
            refuse(e, "", None)
            return
        ticket = self._queue(call, envelope, deliver, refuse, many, arrived)
        if ticket is not None:
            self._likes.remember(data, ticket)

    def find(self, name: str, version: str) -> Model:
        """The loaded model. NotFound or Unavailable otherwise."""
        model = self._models.get((name, version))
        if model is None:
            model = self._models[name, version] = self._repository.find(name, version)
        return model

    def answers(self, model: Model, request: Request, head: Head) -> AsyncGenerator[list[tuple[str, Array]], None]:
        """The answers to a request that `many` was given."""
        return answers(self._core, model, request, head)

    def encode(
        self, model: Model, request: Request, outputs: list[tuple[str, Array]],
        parameters: dict[str, Parameter] | None = None,
    ) -> bytes:  # fmt: skip
        """An answer's bytes. GantlineError if it cannot be written."""
        wishes = request.outputs
        if wishes is not None:
            outputs = [
                (name, classify(a, model.signature.output(name), w.classes, model.stacked) if w.classes else a)
                for w, (name, a) in zip(wishes, outputs, strict=True)
            ]
        reply = Reply(request.model, request.version, outputs, request.id, parameters)
        try:
            return encode_reply(reply, request, self._core.memory.access())
        except GantlineError:
            raise
        except Exception as e:
            raise broken(f"model '{request.model}': its answer could not be written", e) from None

    def _queue(
        self, call: Call, source: Envelope | Request, deliver: Deliver, refuse: Refuse, many: Many | None, arrived: int
    ) -> Ticket | None:
        """The ticket of a request that has been queued."""
        try:
            self._gate.admit(call.head, source.model)
            model = self.find(source.model, source.version)
        except GantlineError as e:
            again = partial(self._queue, call, source, deliver, refuse, many, arrived)
            self._absent(e.with_traceback(None), call, source.id or "", again, refuse)
            return None
        try:
            request = source.request(self._core.memory.access()) if isinstance(source, Envelope) else source
            request.deadline = call.deadline
            if many is not None and model.session.decoupled:
                many(model, request, nothing)
                return None
            if request.parameters:
                request.parameters.pop(EMPTY_FINAL, None)  # one answer is the final one, and is not empty
            return self._core.submit(model, request, call.head, call, deliver, arrived)
        except GantlineError as e:
            model.statistics.failed(perf_counter_ns() - arrived, e)
            refuse(e.with_traceback(None), source.id or "", model)  # else it keeps this frame, and this frame it
            return None

    def _absent(
        self, error: GantlineError, call: Call, request_id: str, again: Callable[[], object], refuse: Refuse
    ) -> None:
        """The model of a request is not there, or not yet: then do it `again` when it is."""

        def refused(error: GantlineError) -> None:
            self._repository.ledger.refused(error)
            refuse(error, request_id, None)

        when_loaded(error, again, refused, call.deadline)

    def _queue_like(
        self, call: Call, like: Like, request: Request, deliver: Deliver, refuse: Refuse, arrived: int
    ) -> None:
        """Queue a request whose message differs from an earlier one in nothing but its tensors."""
        model = like.model
        try:
            self._gate.admit(call.head, model.name)
            self._core.submit_like(model, like, request, call.head, call, deliver, arrived, call.deadline)
        except GantlineError as e:
            model.statistics.failed(perf_counter_ns() - arrived, e)
            refuse(e.with_traceback(None), "", model)

    def _reads_much(self, data: bytes) -> bool:
        """Whether a small message may stand for a large tensor in shared memory."""
        return bool(self._core.memory.regions) and b"shared_memory_region" in data

    def _decode_apart(
        self, call: Call, data: bytes, deliver: Deliver, refuse: Refuse, many: Many | None, arrived: int
    ) -> None:
        """Decode on a thread, so that a large message holds up nobody else, and go on from there on the loop."""

        def decoded(future: asyncio.Future[Request]) -> None:
            # looked at, not raised: an exception that is caught where its future is known keeps the data, in a cycle
            error = None if future.cancelled() else future.exception()
            if call.closed:
                refuse(LEFT, "", None)
            elif isinstance(error, GantlineError):
                refuse(error, "", None)
            elif error is not None or future.cancelled():
                refuse(broken("a message could not be decoded", error), "", None)
            else:
                self._queue(call, future.result(), deliver, refuse, many, arrived)

        try:
            work = asyncio.get_running_loop().run_in_executor(self._pool, self._decode, data)
        except RuntimeError as e:  # the pool has been shut down
            raise Unavailable("the server is stopping; try again elsewhere", "stopping") from e
        work.add_done_callback(decoded)

    def _decode(self, data: bytes) -> Request:
        return parse(data).request(self._core.memory.access())

    def _deliver(self, ticket: Ticket, outputs: list[Array] | None, error: GantlineError | None) -> None:
        data, error = self.result(ticket, outputs, error)
        call: Call = ticket.responder
        if error is not None:
            refuse(call, error, ticket.context.mark)
        else:
            call.send(data)
            call.finish(0, "", ticket.context.mark)

    def result(
        self, ticket: Ticket, outputs: list[Array] | None, error: GantlineError | None,
        parameters: dict[str, Parameter] | None = None,
    ) -> tuple[bytes, GantlineError | None]:  # fmt: skip
        """What a delivery comes to: an answer's bytes, or what went wrong; counted either way."""
        data = b""
        statistics: Statistics = ticket.context.statistics
        began = perf_counter_ns() if statistics.measured else 0
        if outputs is not None:
            request = ticket.request
            try:
                if request.outputs is None and request.id is None and parameters is None:
                    data = ticket.context.forms.message(ticket.outputs, outputs)
                if not data:
                    named = list(zip(ticket.outputs, outputs, strict=True))
                    data = self.encode(ticket.context, request, named, parameters)
            except GantlineError as e:
                error = e.with_traceback(None)  # else it keeps this frame, and this frame it
        ended = perf_counter_ns()
        took = ended - ticket.request.arrived
        # who left is counted where that was found out, and what another worker ran is counted there
        if ticket.counted and error is None:
            statistics.succeeded(took, ended - began)
        elif ticket.counted and error is not None and error is not LEFT:
            statistics.failed(took, error)
        return data, error


def nothing() -> None:
    """What there is to give back for a request that holds nothing."""


def _held(hold: Hold, deliver: Deliver, refuse: Refuse, many: Many | None) -> tuple[Deliver, Refuse, Many | None]:
    """The same three, giving back what the request holds of the server's memory."""

    def delivered(ticket: Ticket, outputs: list[Array] | None, error: GantlineError | None) -> None:
        hold.free()
        deliver(ticket, outputs, error)

    def refused(error: GantlineError, request_id: str, model: Model | None) -> None:
        hold.free()
        refuse(error, request_id, model)

    def streamed(model: Model, request: Request, _: Callable[[], None]) -> None:
        assert many is not None
        many(model, request, hold.free)

    return delivered, refused, streamed if many is not None else None
