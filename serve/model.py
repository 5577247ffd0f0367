"""Model: one loaded version of a model, ready to answer: session, batcher, dispatch and statistics."""

from __future__ import annotations

from collections.abc import Hashable
from concurrent.futures import Executor
from time import perf_counter_ns

from gantline.accelerators.script.engine import ScriptEngine
from gantline.accelerators.session import Session

from gantline.errors import BadRequest, Unsupported
from gantline.request import Request

from .affinity import Affinity
from .batcher import Batcher
from .dispatch import Dispatch
from .exchange import DIGEST, Gone, Head, Standing
from .forms import Checked, Forms
from .script_queue import ScriptQueue
from .sequences import Sequences
from .statistics import Statistics
from .statuses import JSON
from .ticket import Deliver, Ticket
from .tuning import Tuning
from .wishes import TREATMENT


class Model:
    """A version that takes requests. Made on the event loop, after its session has warmed up elsewhere."""

    def __init__(
        self, session: Session, name: str, version: str, pool: Executor, tuning: Tuning | None = None,
        statistics: Statistics | None = None, affinity: Affinity | None = None,
    ) -> None:  # fmt: skip
        """`statistics` to go on with, of a version that served before."""
        tuning = tuning or Tuning()
        policy = tuning.policy
        self.session = session
        self.name = name
        self.version = version
        self.stacked = policy.max_rows > 0 and session.signature.batched and not session.decoupled
        self.policy = policy
        self.statistics = statistics or Statistics()
        self.batcher = Batcher(policy if self.stacked else policy.unstacked(), tuning.pace)
        self.max_rows = self.batcher.max_rows
        self.assembly = tuning.assembly
        self.signature = self.assembly.served(session.signature)
        self.dispatch = Dispatch(session, self.batcher, self.statistics, pool, self.assembly, tuning.instances)
        self.sequences: Sequences | None = None
        if tuning.sequences is not None:
            self.sequences = Sequences(tuning.sequences, self.dispatch.submit, self.dispatch.hold, affinity)
        self.scores: ScriptQueue | None = None
        script = session.program
        if isinstance(script, ScriptEngine) and script.contract == "azure":
            self.scores = ScriptQueue(script.crew, policy, self.statistics)
        self.forms = Forms(name, version)  # of V2, over HTTP and gRPC
        self.other_forms: dict[tuple[str, str], Forms] = {}  # of other faces, by their name and a head's style
        digest = session.package.digest  # None: a bare file
        self.mark = Standing(*([(DIGEST, digest.encode())] if digest else ()))  # headers of all that it answers
        self.plain = Standing(JSON, *self.mark)
        self.streams = 0  # of gRPC, under way or about to begin: they must find it loaded
        self.growth = 0  # bytes that loading it added to this process, where that could be told
        self._since = perf_counter_ns()
        self._all = session.output_names
        inputs = self.signature.inputs
        # with every trailing dimension fixed and no optional input, all valid requests can be stacked
        self._uniform = not any(t.optional or -1 in t.shape[1:] for t in inputs)

    def __repr__(self) -> str:
        return f"<Model {self.name}:{self.version} {self.batcher!r}>"

    @property
    def at_rest(self) -> bool:
        """Whether nothing of it waits or runs, and no sequence and no stream is open."""
        if self.streams or not self.dispatch.at_rest or (self.scores is not None and not self.scores.at_rest):
            return False
        script = self.session.program
        if isinstance(script, ScriptEngine) and script.crew.in_flight:
            return False
        return self.sequences is None or not self.sequences.open(perf_counter_ns())

    @property
    def last_ns(self) -> int:
        """When it last did something, or was loaded (perf_counter_ns). What is counted anyway tells: no request is
        slower for it."""
        return max(self._since, self.statistics.last_ns)

    def submit(self, request: Request, head: Head, responder: Gone, deliver: Deliver) -> Ticket:
        """Check a request and queue it; its ticket. BadRequest if it does not fit, Unavailable if full."""
        if self.session.decoupled:
            raise Unsupported(
                f"model '{self.name}' gives any number of answers: ask by generate_stream or a gRPC stream"
            )
        outputs = self.fit(request)
        if self.assembly.completes:
            self.assembly.complete(request)
        rows, key = self._rows(request), self._key(request, outputs)
        ticket = Ticket(request, rows, key, outputs, head, responder, deliver, self)
        if self.sequences is None:
            self.dispatch.submit(ticket)
        else:
            self.sequences.enter(ticket)
        return ticket

    def fit(self, request: Request) -> tuple[str, ...]:
        """The names of the outputs asked for. BadRequest unless the model takes these inputs and gives them."""
        self.signature.check(self.name, request.inputs)
        return self._all if request.outputs is None else self._wanted(request)

    def submit_like(self, like: Checked, request: Request, head: Head, responder: Gone, deliver: Deliver) -> None:
        """Queue a request that differs from an earlier one in nothing but numbers, and so needs no second check."""
        if self.assembly.completes:
            self.assembly.complete(request)
        ticket = Ticket(request, like.rows, like.key, like.outputs, head, responder, deliver, self)
        dispatch = self.dispatch
        if head is dispatch.last:
            dispatch.submit_lone(ticket)
        else:
            dispatch.last, dispatch.lone = head, 0
            dispatch.submit(ticket)

    def _rows(self, request: Request) -> int:
        if not self.stacked:
            return 1
        rows = -1
        for name, array in request.inputs.items():
            if rows != array.shape[0]:
                if rows >= 0:
                    raise BadRequest(
                        f"model '{self.name}': input '{name}' has {array.shape[0]} rows, another input has {rows}"
                    )
                rows = array.shape[0]
        return rows if rows >= 0 else 1  # no input at all: every one was optional

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
        """What has the same key may run together."""
        shapes = None if self._uniform else self.assembly.shapes(request.inputs)
        parameters = None
        if request.parameters:
            parameters = frozenset(item for item in request.parameters.items() if item[0] not in TREATMENT) or None
        return (outputs, shapes, parameters)
