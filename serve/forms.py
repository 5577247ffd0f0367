"""Forms: what a model remembers of its last small requests and answers, to read and write the next ones faster."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Protocol

from gantline.request import Request
from gantline.tensors import Array
from gantline.wire import v2_forms, v2_grpc_forms

from .ticket import Ticket

_MAX_REPLIES = 64
_PATIENCE = 256  # requests of another form before the remembered one is given up: clients may alternate


class RequestForm(Protocol):
    """The bytes around the numbers of a request that has one input and nothing else."""

    name: str
    asked: object  # as the request's

    def read(self, body: bytes) -> Array | None:
        """The input of a body of this form; None if it is not, or does not fit: it is then read the long way."""
        ...


class ReplyForm(Protocol):
    """The bytes around the numbers of an answer, for arrays of certain shapes and datatypes."""

    def write(self, arrays: Sequence[Array]) -> bytes | None:
        """The answer's body; None when it must be written the long way."""
        ...


class Checked:
    """What was found out about a request, and holds for every other that differs in nothing but numbers."""

    __slots__ = ("key", "outputs", "rows")

    def __init__(self, ticket: Ticket) -> None:
        self.rows = ticket.rows
        self.key: Hashable = ticket.key
        self.outputs = ticket.outputs


class Like(Checked):
    """A body's form with it."""

    __slots__ = ("form",)

    def __init__(self, form: RequestForm, ticket: Ticket) -> None:
        super().__init__(ticket)
        self.form = form


class Forms:
    """One model's remembered forms, in one face. Bounded: one request form, a few dozen reply forms."""

    __slots__ = ("_messages", "_misses", "_replies", "_reply_form", "_request_form", "like", "model", "version")

    def __init__(
        self,
        model: str,
        version: str,
        request_form: Callable[[bytes, Request], RequestForm | None] = v2_forms.request_form,
        reply_form: Callable[[Sequence[str], Sequence[Array]], ReplyForm | None] | None = None,
    ) -> None:
        """How a form is found in a body, or made for arrays; left out: V2's."""
        self.model = model
        self.version = version
        self._request_form = request_form
        self._reply_form = reply_form or self._v2_reply_form
        self.like: Like | None = None
        self._misses = 0
        self._replies: dict[Hashable, ReplyForm | None] = {}
        self._messages: dict[Hashable, v2_grpc_forms.ReplyForm | None] = {}

    def remember(self, body: bytes, ticket: Ticket) -> None:
        """A body was read the long way: keep its form, unless the one we have is still in use."""
        if self.like is not None:
            self._misses += 1
            if self._misses < _PATIENCE:
                return
        self._misses = 0
        form = self._request_form(body, ticket.request)
        if form is not None:
            self.like = Like(form, ticket)

    def reply(self, names: Sequence[str], arrays: Sequence[Array]) -> bytes | None:
        """The body of an answer to a plain JSON request; None when it must be written the long way."""
        key = tuple([(a.shape, a.dtype) for a in arrays])  # a script may answer with other datatypes at another time
        try:
            form = self._replies[key]
        except KeyError:
            form = self._reply_form(names, arrays)
            if len(self._replies) >= _MAX_REPLIES:
                self._replies.clear()
            self._replies[key] = form
        return None if form is None else form.write(arrays)

    def _v2_reply_form(self, names: Sequence[str], arrays: Sequence[Array]) -> ReplyForm | None:
        kind = v2_forms.ReplyForm
        return kind(self.model, self.version, names, arrays) if kind.fits(arrays) else None

    def message(self, names: Sequence[str], arrays: Sequence[Array]) -> bytes:
        """The same as a gRPC message; empty when it must be written the long way."""
        key = tuple([(a.shape, a.dtype) for a in arrays])
        try:
            form = self._messages[key]
        except KeyError:
            kind = v2_grpc_forms.ReplyForm
            form = kind(self.model, self.version, names, arrays) if kind.fits(arrays) else None
            if len(self._messages) >= _MAX_REPLIES:
                self._messages.clear()
            self._messages[key] = form
        return b"" if form is None else form.write(arrays)
