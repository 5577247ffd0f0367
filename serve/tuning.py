"""Tuning: how one model's requests wait, gather and go, from its settings, its package and its config.pbtxt."""

from __future__ import annotations

from dataclasses import dataclass, field

from gantline.accelerators.padding import Padding
from gantline.accelerators.session import Session
from gantline.accelerators.stateful import SequencePolicy, kept_by
from gantline.accelerators.triton.model_config import ModelConfig
from gantline.accelerators.triton.scheduling import BatchingConfig

from gantline.settings import ModelSettings, ServeSettings

from .assembly import Assembly, Padded
from .pace import Delayed, Greedy, Pace
from .policy import LevelPolicy, QueuePolicy
from .slo import Slo


@dataclass(frozen=True, slots=True)
class Tuning:
    """`pace` and `assembly` belong to one loaded version: a pace learns from what it sees."""

    policy: QueuePolicy = field(default_factory=QueuePolicy)
    pace: Pace = field(default_factory=Greedy)
    assembly: Assembly = field(default_factory=Assembly)
    sequences: SequencePolicy | None = None
    instances: int = 1


def tune(
    session: Session, max_rows: int, own: ModelSettings, server: ServeSettings, config: ModelConfig | None
) -> Tuning:
    """`max_rows`: what one run takes, 0 for requests that are never stacked; `own` has been settled with the rest."""
    said = config.batching if config is not None else None
    engine, batching = session.engine, session.package.manifest.batching
    target = int(own.latency_target_ms * 1e6)
    middle = min(own.default_priority, own.priority_levels)
    first = said.at(middle) if said else None
    policy = QueuePolicy(
        max_rows=max_rows,
        max_queue_rows=own.max_queue_rows,
        max_queue_requests=said.max_queue_size if said and not said.own else 0,
        target_ns=target,
        max_wait_ns=int(own.max_wait_s * 1e9),
        levels=own.priority_levels,
        default_level=min(own.default_priority or (own.priority_levels + 1) // 2, own.priority_levels),
        ageing_ns=int(own.priority_ageing_s * 1e9),
        timeout_ns=int(own.deadline_s * 1e9),
        timeout_override=first.timeout_override if first else True,
        demote=first.demote if first else False,
        weights=server.weights,
        own=_own(said, middle) if said else {},
        sizes=_sizes(said) if said else {},
    )
    delay = int(own.max_queue_delay_ms * 1e6)
    preferred = said.preferred if said else ()
    pace: Pace = Slo(target) if target else Delayed(delay, preferred) if delay or preferred else Greedy()
    assembly = Assembly()
    if batching.pad:
        assembly = Padded(Padding(batching, session.signature, str(session.package.path)))
    sequences = kept_by(engine)
    # the requests of sequences keep their order because batches run one after another
    return Tuning(policy, pace, assembly, sequences, 1 if sequences else own.instances)


def _own(said: BatchingConfig, middle: int) -> dict[int, LevelPolicy]:
    """The levels that have time-outs of their own, but the default one: its are settings."""
    return {
        level: LevelPolicy(one.timeout_us * 1000, one.timeout_override, one.demote)
        for level, one in said.own.items()
        if level != middle
    }


def _sizes(said: BatchingConfig) -> dict[int, int]:
    """How many requests may wait at each level, where levels are told apart."""
    sizes = {level: said.at(level).max_queue_size for level in range(1, said.levels + 1)} if said.own else {}
    return {level: size for level, size in sizes.items() if size}
