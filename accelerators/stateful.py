"""Stateful: a program that keeps sequences: what its clients see, and what goes from one of their requests to the next.

The state is an extra output of one run and an extra input of the next. Who serves keeps it (serve/sequences.py), and so
does whoever replays a golden sequence (Steps).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from gantline.errors import BadArtefact, BadRequest, VerificationFailed
from gantline.manifest import SequenceInfo
from gantline.request import Request
from gantline.signature import Signature, TensorSpec
from gantline.tensors import Array, numpy_dtype

if TYPE_CHECKING:
    from .engine import Engine

MAX_SEQUENCES = 4096  # open at once, unless the model says otherwise
KINDS = ("START", "END", "READY", "CORRID")


@dataclass(frozen=True, slots=True)
class StateTensor:
    """An output that the next request of a sequence gets as an input; `initial`: what the first one gets."""

    input: str
    output: str
    initial: Array


@dataclass(frozen=True, slots=True)
class SequencePolicy:
    """How a model keeps sequences. `controls`: input -> (kind "START", "END", "READY", "CORRID"; what it is when the
    flag is not set, and when it is), each of one row. `idle_ns`: without a request for so long, a sequence is over.
    `max_sequences`: open at once, of all workers together."""

    states: tuple[StateTensor, ...] = ()
    controls: Mapping[str, tuple[str, Array, Array]] = field(default_factory=dict)
    idle_ns: int = 1_000_000_000
    max_sequences: int = MAX_SEQUENCES

    @property
    def hidden(self) -> tuple[frozenset[str], frozenset[str]]:
        """Inputs and outputs of the program that clients do not see."""
        inputs = {s.input for s in self.states} | set(self.controls)
        return frozenset(inputs), frozenset(s.output for s in self.states)

    @property
    def initial(self) -> dict[str, Array]:
        """The state at a sequence's start."""
        return {s.input: s.initial for s in self.states}

    def told(self, request: Request) -> dict[str, Array]:
        """The control inputs for one request. BadRequest for a sequence id that they cannot hold."""
        on = {"START": request.sequence_start, "END": request.sequence_end, "READY": True}
        out: dict[str, Array] = {}
        for name, (kind, off, set_) in self.controls.items():
            if kind == "CORRID":
                out[name] = _correlation(request.sequence, off, request.model)
            else:
                out[name] = set_ if on[kind] else off
        return out

    def completed(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """With states and controls as at a sequence's start, where they are missing: for a trial outside of any."""
        first = next(iter(inputs.values()), None)
        rows = first.shape[0] if first is not None and first.ndim else 1
        rest = self.initial | {
            name: on if kind in ("START", "READY") else off for name, (kind, off, on) in self.controls.items()
        }
        missing = {name: array for name, array in rest.items() if name not in inputs}
        return {**inputs, **{n: np.repeat(a, rows, 0) if rows != 1 else a for n, a in missing.items()}}


class Stateful:
    """An engine whose states and controls clients do not see; a run that lacks them begins a sequence."""

    def __init__(self, engine: Engine, info: SequenceInfo, where: str) -> None:
        """BadArtefact (naming `where`) if the declaration does not fit the program."""
        whole = engine.signature
        self.engine = engine
        self.sequences = policy_of(info, whole, where)
        inputs, outputs = self.sequences.hidden
        self.signature = Signature(
            tuple(t for t in whole.inputs if t.name not in inputs),
            tuple(t for t in whole.outputs if t.name not in outputs),
        )

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        return self.engine.run(self.sequences.completed(inputs), outputs)

    def close(self) -> None:
        self.engine.close()


def kept_by(engine: object) -> SequencePolicy | None:
    """How an engine keeps sequences; None for one that keeps none."""
    found = getattr(engine, "sequences", None)
    return found if isinstance(found, SequencePolicy) else None


class Runs(Protocol):
    """A session, or an engine."""

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """Compute the named outputs."""
        ...


class Steps:
    """One sequence outside of a server: the requests of a golden sequence, one after another."""

    def __init__(self, policy: SequencePolicy) -> None:
        self.policy = policy
        self._state: dict[str, Array] | None = None

    def run(self, program: Runs, request: Request, outputs: Sequence[str]) -> list[Array]:
        """The next request, with `sequence_id` and its flags as parameters. VerificationFailed if none has begun."""
        parameters = request.parameters or {}
        request.sequence = int(parameters.get("sequence_id", 0))
        request.sequence_start = bool(parameters.get("sequence_start"))
        request.sequence_end = bool(parameters.get("sequence_end"))
        if request.sequence_start:
            self._state = self.policy.initial
        if self._state is None:
            raise VerificationFailed("a golden sequence does not begin with 'sequence_start'")
        feed = {**request.inputs, **self._state, **self.policy.told(request)}
        found = program.run(feed, (*outputs, *(s.output for s in self.policy.states)))
        states = zip(self.policy.states, found[len(outputs) :], strict=True)
        self._state = None if request.sequence_end else {s.input: a for s, a in states}
        return found[: len(outputs)]


def policy_of(info: SequenceInfo, whole: Signature, where: str) -> SequencePolicy:
    """A package's declaration on its program's tensors. BadArtefact says what does not fit."""
    takes, gives = {t.name: t for t in whole.inputs}, {t.name: t for t in whole.outputs}
    if not (info.states or info.controls):
        raise BadArtefact(f"{where}: sequences: neither states nor controls; name what goes from request to request")
    for name in info.initial:
        if name not in info.states:
            raise BadArtefact(f"{where}: sequences: initial value for '{name}', which is not a state's input")
    states = []
    for name, output in info.states.items():
        spec, given = _found(where, "state input", name, takes), _found(where, "state output", output, gives)
        if (spec.datatype, spec.shape[1:]) != (given.datatype, given.shape[1:]) or len(spec.shape) != len(given.shape):
            raise BadArtefact(
                f"{where}: sequences: output '{output}' {given.datatype} {list(given.shape)} cannot be the next input "
                f"'{name}' {spec.datatype} {list(spec.shape)}"
            )
        states.append(StateTensor(name, output, _full(spec, info.initial.get(name, 0.0))))
    controls = {}
    for name, kind in info.controls.items():
        spec = _found(where, "control input", name, takes)
        if kind not in KINDS:
            raise BadArtefact(f"{where}: sequences: control '{name}' is {kind!r:.40}, expected {', '.join(KINDS)}")
        if kind == "CORRID" and numpy_dtype(spec.datatype).kind not in "iuO":
            raise BadArtefact(f"{where}: sequences: control '{name}' has {spec.datatype}, which holds no sequence id")
        controls[name] = (kind, _full(spec, 0.0), _full(spec, 0.0 if kind == "CORRID" else 1.0))
    if not 0 < info.idle_s <= 86400 or info.max_sequences < 0:
        raise BadArtefact(f"{where}: sequences: idle_s is above 0 and at most a day, max_sequences a count")
    most = info.max_sequences or MAX_SEQUENCES
    return SequencePolicy(tuple(states), controls, int(info.idle_s * 1e9), most)


def _found(where: str, what: str, name: str, known: Mapping[str, TensorSpec]) -> TensorSpec:
    spec = known.get(name)
    if spec is None:
        names = ", ".join(f"'{n}'" for n in known)
        raise BadArtefact(f"{where}: sequences: {what} '{name}' is not the model's; it has {names}")
    return spec


def _full(spec: TensorSpec, value: float) -> Array:
    dtype = numpy_dtype(spec.datatype)
    return np.full([1 if d < 0 else d for d in spec.shape], b"" if dtype.kind == "O" else value, dtype)


def _correlation(sequence: int | str, like: Array, model: str) -> Array:
    """The sequence's id as the model's input of kind CORRID takes it."""
    if like.dtype.kind == "O":
        return np.full(like.shape, str(sequence).encode(), object)
    if isinstance(sequence, str):
        raise BadRequest(f"model '{model}': its sequence ids are numbers, not {sequence!r:.80}")
    if sequence > np.iinfo(like.dtype).max:
        raise BadRequest(f"model '{model}': sequence id {sequence} does not fit {like.dtype}")
    return np.full(like.shape, sequence, like.dtype)
