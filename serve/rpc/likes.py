"""Likes: infer messages seen before, so that those that differ in nothing but their tensors are read at once."""

from __future__ import annotations

from gantline.request import Request, RequestedOutput
from gantline.tensors import Array
from gantline.wire.v2_grpc_forms import RequestForm

from ..forms import Checked
from ..model import Model
from ..ticket import Ticket

_MAX_FORMS = 64
_PATIENCE = 256  # messages of another form and the same length, before the remembered one is given up


class Like(Checked):
    """A message's form, the model that it is for, and what was found out about it."""

    __slots__ = ("form", "misses", "model", "wanted")

    def __init__(self, form: RequestForm, ticket: Ticket) -> None:
        super().__init__(ticket)
        self.form = form
        self.model: Model = ticket.context
        self.wanted: list[RequestedOutput] | None = ticket.request.outputs
        self.misses = 0


class Likes:
    """What a port remembers: one form for each length of a message. Bounded."""

    __slots__ = ("_forms",)

    def __init__(self) -> None:
        self._forms: dict[int, Like] = {}

    def forget(self) -> None:
        """Models have changed."""
        self._forms.clear()

    def read(self, data: bytes) -> tuple[Like, Request] | None:
        """A message of a known form as a request; None if it must be read the long way."""
        like = self._forms.get(len(data))
        if like is None:
            return None
        inputs: dict[str, Array] | None = like.form.read(data)
        if inputs is None:
            like.misses += 1
            return None
        model = like.model
        return like, Request(inputs, model.name, model.version, outputs=like.wanted)

    def remember(self, data: bytes, ticket: Ticket) -> None:
        """A message was read the long way: keep its form, unless one of the same length is still in use."""
        known = self._forms.get(len(data))
        if known is not None and known.misses < _PATIENCE:
            return
        form = RequestForm.of(data, ticket.request)
        if form is not None:
            if known is None and len(self._forms) >= _MAX_FORMS:
                self._forms.clear()
            self._forms[len(data)] = Like(form, ticket)
