"""Stream: ModelStreamInfer: any number of requests over one call, each with its answer or with what was wrong."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial

from gantline.errors import GantlineError, Unavailable
from gantline.request import Parameter
from gantline.tensors import Array
from gantline.wire.v2_grpc import stream_answer, stream_error

from ..ticket import Ticket
from .answering import refuse
from .call import Call
from .infer import Infer
from .statuses import refusal

MAX_OPEN = 256  # requests of one stream whose answers are not yet taken; its client waits before it sends more
_FINAL: dict[str, Parameter] = {"triton_final_response": True}


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
        self.task = asyncio.ensure_future(self._answer())
        call.on_close(self._gone)

    def message(self, data: bytes) -> None:
        if self._stopped:
            return
        slot = Slot()
        self._slots.append(slot)
        if len(self._slots) >= MAX_OPEN and not self._paused:
            self._paused = True
            self._call.pause_reading()
        self._infer.start(self._call, data, partial(self._deliver, slot), partial(self._refuse, slot))

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

    async def _answer(self) -> None:
        slots, call = self._slots, self._call
        while True:
            while slots and (message := slots[0].message) is not None:
                error = slots[0].error
                if error is not None and self._strict:
                    self._stopped = True
                    slots.clear()
                    refuse(call, error)
                    return
                slots.popleft()
                call.send(message)
                await call.drain()
                if self._paused and len(slots) <= MAX_OPEN // 2:
                    self._paused = False
                    call.resume_reading()
            if not slots and self._half_closed:
                call.finish()
                return
            if not slots and self._stopped:
                refuse(call, Unavailable("the server is stopping; connect again"))
                return
            self._changed.clear()
            await self._changed.wait()

    def _deliver(self, slot: Slot, ticket: Ticket, outputs: list[Array] | None, error: GantlineError | None) -> None:
        data, error = self._infer.result(ticket, outputs, error, _FINAL)
        if error is not None:
            self._refuse(slot, error, ticket.request.id or "")
        else:
            slot.message = stream_answer(data)
            self._changed.set()

    def _refuse(self, slot: Slot, error: GantlineError, id: str) -> None:
        slot.error = error
        slot.message = stream_error(refusal(error)[1], id, _FINAL)
        self._changed.set()
