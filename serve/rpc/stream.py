"""Stream: ModelStreamInfer: any number of requests over one call, each with its answer or with what was wrong."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from time import perf_counter_ns

from gantline.errors import DeadlineExceeded, GantlineError, Unavailable
from gantline.request import Parameter, Request
from gantline.tensors import Array
from gantline.wire.v2_grpc import stream_answer, stream_error

from ..model import Model
from ..ticket import Ticket
from .answering import broken, refuse
from .call import Call
from .infer import EMPTY_FINAL, Infer
from .statuses import refusal

MAX_OPEN = 256  # requests of one stream whose answers are not yet taken; its client waits before it sends more
_MORE: dict[str, Parameter] = {"triton_final_response": False}
_FINAL: dict[str, Parameter] = {"triton_final_response": True}


def _told(model: Model | None, parameters: dict[str, Parameter]) -> dict[str, Parameter]:
    """What an answer's parameters say: of a stream's answers each may be another model's, so metadata cannot."""
    digest = model.session.package.digest if model is not None else None
    return {**parameters, "package_digest": digest} if digest else parameters


class Streams:
    """All ModelStreamInfer calls of a server."""

    def __init__(self, infer: Infer) -> None:
        self._infer = infer
        self._open: set[Stream] = set()
        self._stopping = False

    def method(self, call: Call) -> Stream:
        """ModelStreamInfer."""
        stream = Stream(call, self._infer)
        self._open.add(stream)
        stream.task.add_done_callback(lambda _: self._open.discard(stream))
        if self._stopping:
            stream.stop()
        return stream

    def stop(self) -> None:
        """Take no more requests: each stream ends when what it has accepted is answered."""
        self._stopping = True
        for stream in list(self._open):
            stream.stop()


class Slot:
    """A request's place in a stream's order of answers."""

    __slots__ = ("error", "message")

    def __init__(self) -> None:
        self.message: bytes | None = None  # when it is ready to be sent
        self.error: GantlineError | None = None  # beside the message that tells it


class Stream:
    """One call: takes requests as they come, and answers in their order (a Receiver)."""

    def __init__(self, call: Call, infer: Infer) -> None:
        self._call = call
        self._infer = infer
        self._slots: deque[Slot] = deque()
        self._half_closed = self._stopped = self._paused = False
        self._strict = (call.head.get(b"triton_grpc_error") or b"").lower() in (b"true", b"1")
        self._changed = asyncio.Event()
        self._many: set[asyncio.Task[None]] = set()  # requests that are answered any number of times
        self._broken: GantlineError | None = None  # one of theirs, that is to end the call
        self.task = asyncio.ensure_future(self._answer())
        call.on_close(self._gone)

    def message(self, data: bytes) -> None:
        if self._stopped:
            return
        slot = Slot()
        self._slots.append(slot)
        if self._open >= MAX_OPEN and not self._paused:
            self._paused = True
            self._call.pause_reading()
        self._infer.start(
            self._call, data, partial(self._deliver, slot), partial(self._refuse, slot), partial(self._begin, slot)
        )

    def half_close(self) -> None:
        self._half_closed = True
        self._changed.set()

    def stop(self) -> None:
        """Take no more requests, and end with what was accepted answered."""
        self._stopped = True
        self._changed.set()

    def _gone(self) -> None:
        self._stopped = True
        self.task.cancel()
        for task in self._many:
            task.cancel()

    @property
    def _open(self) -> int:
        return len(self._slots) + len(self._many)

    async def _answer(self) -> None:
        slots, call = self._slots, self._call
        while True:
            while slots and (message := slots[0].message) is not None:
                error = slots[0].error
                if error is not None and self._ends(error):
                    self._break(error)
                    return
                slots.popleft()
                call.send(message)
                await call.drain()
            if self._broken is not None:
                self._break(self._broken)
                return
            if self._paused and self._open <= MAX_OPEN // 2:
                self._paused = False
                call.resume_reading()
            if not self._open and self._half_closed:
                call.finish()
                return
            if not self._open and self._stopped:
                refuse(call, Unavailable("the server is stopping; connect again"))
                return
            self._changed.clear()
            await self._changed.wait()

    def _ends(self, error: GantlineError) -> bool:
        """Whether an error is not only its request's: the client wants it so, or the call's own deadline has passed."""
        return self._strict or (isinstance(error, DeadlineExceeded) and 0 < self._call.deadline <= perf_counter_ns())

    def _break(self, error: GantlineError) -> None:
        """End with a real status."""
        self._stopped = True
        self._slots.clear()
        for task in self._many:
            task.cancel()
        refuse(self._call, error)

    def _begin(self, slot: Slot, model: Model, request: Request, done: Callable[[], None]) -> None:
        """A request that may be answered more than once: its answers are sent as they come."""
        self._slots.remove(slot)
        model.streams += 1
        task = asyncio.ensure_future(self._answer_many(model, request))
        self._many.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            done()
            model.streams -= 1
            self._many.discard(task)
            self._changed.set()

        task.add_done_callback(ended)

    async def _answer_many(self, model: Model, request: Request) -> None:
        wants_last = bool((request.parameters or {}).pop(EMPTY_FINAL, False))
        call, infer = self._call, self._infer
        try:
            async with aclosing(infer.answers(model, request, call.head)) as found:
                async for outputs in found:
                    call.send(stream_answer(infer.encode(model, request, outputs, _told(model, _MORE))))
                    await call.drain()
            if wants_last:
                call.send(stream_answer(infer.encode(model, replace(request, outputs=None), [], _told(model, _FINAL))))
        except Exception as e:
            error = e if isinstance(e, GantlineError) else broken(f"model '{model.name}': a stream failed", e)
            if self._ends(error):
                self._broken = error
            else:
                call.send(stream_error(refusal(error)[1], request.id or "", _told(model, _FINAL)))

    def _deliver(self, slot: Slot, ticket: Ticket, outputs: list[Array] | None, error: GantlineError | None) -> None:
        data, error = self._infer.result(ticket, outputs, error, _told(ticket.context, _FINAL))
        if error is not None:
            self._refuse(slot, error, ticket.request.id or "", ticket.context)
        else:
            slot.message = stream_answer(data)
            self._changed.set()

    def _refuse(self, slot: Slot, error: GantlineError, id: str, model: Model | None) -> None:
        slot.error = error
        slot.message = stream_error(refusal(error)[1], id, _told(model, _FINAL))
        self._changed.set()
