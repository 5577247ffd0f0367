"""Scheduling: what a config.pbtxt says of batching and of sequences, read from its protobuf messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gantline.errors import BadArtefact
from gantline.signature import TensorSpec
from gantline.tensors import Array, numpy_dtype

from ..stateful import MAX_SEQUENCES, SequencePolicy, StateTensor
from .named_file import named_file

_IDLE_US = 1_000_000  # Triton's default


@dataclass(frozen=True, slots=True)
class BatchingConfig:
    """`dynamic_batching` as far as it is acted on; 0 and () where nothing is said. Times in microseconds."""

    preferred: tuple[int, ...] = ()
    delay_us: int = 0
    levels: int = 0
    default_level: int = 0
    timeout_us: int = 0
    timeout_override: bool = True
    demote: bool = False
    max_queue_size: int = 0
    own: Mapping[int, BatchingConfig] = field(default_factory=dict)  # levels with a queue policy of their own

    @property
    def middle(self) -> int:
        """The level of requests that bring none."""
        return self.default_level or (self.levels + 1) // 2

    def at(self, level: int) -> BatchingConfig:
        """What holds at a level."""
        return self.own.get(level, self)


@dataclass(frozen=True, slots=True)
class SequenceConfig:
    """`sequence_batching`: its message, to be completed by the shapes that the program itself has."""

    message: Any
    folder: Path

    @property
    def hidden(self) -> tuple[frozenset[str], frozenset[str]]:
        """Inputs and outputs that are the server's affair, and no client's."""
        states = self.message.state
        controls = (c.name for c in self.message.control_input)
        return frozenset({s.input_name for s in states} | set(controls)), frozenset(s.output_name for s in states)

    def policy(self, where: Path, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> SequencePolicy:
        """With the program's own tensors. BadArtefact if one that is named is not there."""
        takes, gives = {t.name: t for t in inputs}, {t.name: t for t in outputs}
        states = []
        for state in self.message.state:
            spec = _found(where, "state input", state.input_name, takes)
            _found(where, "state output", state.output_name, gives)
            _check_types(where, state, spec)
            states.append(StateTensor(spec.name, state.output_name, self._initial(where, state, spec)))
        controls = {}
        for control in self.message.control_input:
            spec = _found(where, "control input", control.name, takes)
            if len(control.control) != 1:
                raise BadArtefact(f"{where}: control input '{control.name}' has {len(control.control)} controls, not 1")
            controls[spec.name] = _control(where, control.control[0], spec)
        idle = (self.message.max_sequence_idle_microseconds or _IDLE_US) * 1000
        most = self.message.oldest.max_candidate_sequences or MAX_SEQUENCES
        if most < 0:
            raise BadArtefact(f"{where}: max_candidate_sequences is {most}, expected 1 or more")
        return SequencePolicy(tuple(states), controls, idle, most)

    def _initial(self, where: Path, state: Any, spec: TensorSpec) -> Array:
        dims = [1 if d < 0 else d for d in spec.shape]
        dtype = numpy_dtype(spec.datatype)
        if not state.initial_state:
            return np.full(dims, b"" if dtype.kind == "O" else 0, dtype)
        first = state.initial_state[0]
        if first.WhichOneof("state_data") != "data_file":
            return np.full(dims, b"" if dtype.kind == "O" else 0, dtype)
        path = named_file(self.folder / "initial_state", first.data_file, f"{where}: state '{spec.name}': data_file")
        try:
            return np.frombuffer(path.read_bytes(), dtype).reshape(dims)
        except (OSError, ValueError) as e:
            raise BadArtefact(f"{where}: state '{spec.name}': {path} does not hold {dims} of {dtype}: {e}") from e


def read_batching(message: Any, where: Path) -> BatchingConfig:
    """The `dynamic_batching` of a ModelConfig. BadArtefact for a level that there is not, or a size that cannot be."""
    said = message.dynamic_batching
    if said.default_priority_level > said.priority_levels > 0:
        raise BadArtefact(
            f"{where}: default_priority_level is {said.default_priority_level}, "
            f"and priority_levels is {said.priority_levels}"
        )
    most = message.max_batch_size
    for size in said.preferred_batch_size:
        if size < 1 or size > most > 0:
            most_said = f"1 to max_batch_size, {most}" if most else "1 or more"
            raise BadArtefact(f"{where}: preferred_batch_size is {size}, expected {most_said}")
    for level in said.priority_queue_policy:
        if not 1 <= level <= said.priority_levels:
            raise BadArtefact(
                f"{where}: priority_queue_policy is for level {level}, and priority_levels is {said.priority_levels}"
            )
    return BatchingConfig(
        preferred=tuple(said.preferred_batch_size),
        delay_us=said.max_queue_delay_microseconds,
        levels=said.priority_levels,
        default_level=said.default_priority_level,
        own={level: BatchingConfig(**_queue(one)) for level, one in said.priority_queue_policy.items()},
        **_queue(said.default_queue_policy),
    )


def _queue(said: Any) -> dict[str, Any]:
    """A ModelQueuePolicy."""
    return {
        "timeout_us": said.default_timeout_microseconds,
        # Triton ignores a request's own time-out unless this is set; without any time-out said, it is simply heeded
        "timeout_override": said.allow_timeout_override or not said.default_timeout_microseconds,
        "demote": bool(said.timeout_action),
        "max_queue_size": said.max_queue_size,
    }


def ignored(message: Any) -> Iterator[str]:
    """What is set in `dynamic_batching` and `sequence_batching` and not acted on.

    preserve_ordering needs nothing where a model's batches run one after another, as those of sequences always do.
    """
    several = sum(group.count or 1 for group in message.instance_group) > 1
    if message.dynamic_batching.preserve_ordering and several:
        yield "dynamic_batching.preserve_ordering"
    if message.HasField("sequence_batching") and several:
        yield "instance_group.count"
    said = message.sequence_batching
    for name, value in (("direct", said.direct), ("oldest", said.oldest)):
        if said.HasField(name):
            used = ("max_candidate_sequences", "preserve_ordering")
            yield from (f"sequence_batching.{name}.{f.name}" for f, _ in value.ListFields() if f.name not in used)
    if said.iterative_sequence:
        yield "sequence_batching.iterative_sequence"
    for state in said.state:
        for name in ("use_growable_memory", "use_same_buffer_for_input_output"):
            if getattr(state, name):
                yield f"sequence_batching.state '{state.input_name}' {name}"
        if len(state.initial_state) > 1:
            yield f"sequence_batching.state '{state.input_name}' initial_state after the first"


def _found(where: Path, what: str, name: str, known: dict[str, TensorSpec]) -> TensorSpec:
    spec = known.get(name)
    if spec is None:
        raise BadArtefact(f"{where}: {what} '{name}' is not the model's; it has {', '.join(repr(n) for n in known)}")
    return spec


def _check_types(where: Path, state: Any, spec: TensorSpec) -> None:
    """That the datatypes said of a state, and of how it begins, are the model's, where they are said."""
    names = state.DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number
    for said in (state, *state.initial_state):
        found = names[said.data_type].name.removeprefix("TYPE_").replace("STRING", "BYTES")
        if found not in ("INVALID", spec.datatype):
            raise BadArtefact(f"{where}: state '{spec.name}' has data_type {found}, the model has {spec.datatype}")


def _control(where: Path, control: Any, spec: TensorSpec) -> tuple[str, Array, Array]:
    names = control.DESCRIPTOR.fields_by_name["kind"].enum_type.values_by_number
    kind = names[control.kind].name.removeprefix("CONTROL_SEQUENCE_")
    shape = [1 if d < 0 else d for d in spec.shape]
    dtype = numpy_dtype(spec.datatype)
    if kind == "CORRID":
        return kind, np.full(shape, b"" if dtype.kind == "O" else 0, dtype), np.full(shape, 0, dtype)
    pair = list(control.int32_false_true) or list(control.fp32_false_true) or list(control.bool_false_true)
    if len(pair) != 2:
        raise BadArtefact(f"{where}: control input '{spec.name}' needs two values, for false and for true")
    return kind, np.full(shape, pair[0], dtype), np.full(shape, pair[1], dtype)
