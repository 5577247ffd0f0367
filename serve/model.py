"""Model: one loaded version of a model, ready to answer: session, batcher, dispatch and statistics."""

from __future__ import annotations

from collections.abc import Hashable
from concurrent.futures import Executor
from typing import Any

from gantline.accelerators.session import Session

from gantline.errors import BadRequest
from gantline.request import Request

from .batcher import Batcher, Deliver, Ticket
from .dispatch import Dispatch
from .statistics import Statistics


class Model:
    """A version that takes requests. Made on the event loop, after its session has warmed up elsewhere."""

    def __init__(
        self, session: Session, name: str, version: str, max_rows: int, max_queue_rows: int, pool: Executor
    ) -> None:
        self.session = session
        self.name = name
        self.version = version
        self.signature = session.signature
        self.stacked = max_rows > 0 and session.signature.batched
        self.max_rows = max_rows if self.stacked else 0
        self.statistics = Statistics()
        self.batcher = Batcher(self.max_rows, max_queue_rows)
        self.dispatch = Dispatch(session, self.batcher, self.statistics, pool)
        self._all = session.output_names
        inputs = session.signature.inputs
        # with every trailing dimension fixed and no optional input, all valid requests can be stacked
        self._uniform = not any(t.optional or -1 in t.shape[1:] for t in inputs)

    def __repr__(self) -> str:
        return f"<Model {self.name}:{self.version} {self.batcher!r}>"

    def submit(self, request: Request, context: Any, deliver: Deliver) -> None:
        """Check a request against the signature and queue it. BadRequest if it does not fit, Unavailable if full."""
        request.model = self.name
        request.version = self.version
        inputs = request.inputs
        self.signature.check(self.name, inputs)
        rows = 1
        if self.stacked:
            rows = -1
            for name, array in inputs.items():
                if rows != array.shape[0]:
                    if rows >= 0:
                        raise BadRequest(
                            f"model '{self.name}': input '{name}' has {array.shape[0]} rows, another input has {rows}"
                        )
                    rows = array.shape[0]
        outputs = self._all if request.outputs is None else self._wanted(request)
        self.dispatch.submit(Ticket(request, rows, self._key(request, outputs), outputs, context, deliver))

    def _wanted(self, request: Request) -> tuple[str, ...]:
        assert request.outputs is not None
        names = tuple(o.name for o in request.outputs)
        for name in names:
            if name not in self._all:
                known = ", ".join(f"'{n}'" for n in self._all)
                raise BadRequest(f"model '{self.name}': unexpected output '{name}'; it gives {known}")
        if len(set(names)) != len(names):
            raise BadRequest(f"model '{self.name}': an output is asked for twice")
        return names

    def _key(self, request: Request, outputs: tuple[str, ...]) -> Hashable:
        shapes = None if self._uniform else tuple(sorted((n, a.shape[1:]) for n, a in request.inputs.items()))
        parameters = frozenset(request.parameters.items()) if request.parameters else None
        return (outputs, shapes, parameters)
