"""Warming: run a session on inputs that it takes, until first-call work is done, and learn how long a run lasts."""

from __future__ import annotations

import logging
from time import perf_counter_ns

import numpy as np

from gantline.errors import BadRequest, EngineFailed, ScriptFailed, VerificationFailed
from gantline.tensors import Array

from . import bodies
from .replay import read_golden
from .session import Session, zeros

ROWS = (1, 8)
RUNS = 3  # of each, as long as they get shorter
LONG_NS = 10_000_000  # of a run that lasts so long its first calls are no great part, and a start would wait for it
_log = logging.getLogger("gantline.session")


def warm_up(session: Session) -> None:
    """Sets `session.run_ns`, the time of one row (of a whole request when the batch is fixed).

    What takes long is run until it gets no shorter, golden samples that were replayed counted, and not in many rows.

    A model file without golden samples is tried on zeros; that it refuses them (an unknown category, say) is logged
    and no reason not to serve it. A golden sample that fails is: EngineFailed, or ScriptFailed. An Azure script gets
    its golden sample once, and nothing without one: what it makes of an empty body is its own affair.
    One that yields gets nothing: how long it would go on is not known.
    """
    script = session.package.manifest.script
    if script is not None and script.contract == "azure":
        sample = next((g for g in session.package.manifest.golden if g.kind == "score"), None)
        if sample is not None:
            bodies.warm_up(session, sample)
        return
    if not session.signature.inputs or session.decoupled:
        return
    known = bool(session.package.manifest.golden)
    try:
        session.run_ns = _warm(session, ROWS[0])
        for rows in ROWS[1:] if session.signature.batched else ():
            if session.run_ns * rows < LONG_NS * 10:
                _warm(session, rows)
    except (BadRequest, EngineFailed, ScriptFailed) as e:
        if known:
            raise
        _log.warning("model '%s': not warmed up: it does not take zeros: %s", session.package.name, e)


def _warm(session: Session, rows: int) -> int:
    """Run so many rows that the model takes, or all of its golden sample where its first dimensions are no rows.

    How long the last run took, in nanoseconds.
    """
    if not session.package.manifest.golden or session.package.manifest.batching.max_batch_size:
        return _repeat(session, example(session, rows))
    try:
        return _repeat(session, example(session, rows))
    except EngineFailed:
        return _repeat(session, example(session, 0))


def _repeat(session: Session, feed: dict[str, Array]) -> int:
    """Run until it gets no shorter, where that takes long; how long the last one took, in nanoseconds."""
    before = session.replayed_ns
    for _ in range(RUNS):
        started = perf_counter_ns()
        session.run(feed)
        took = perf_counter_ns() - started
        if took > LONG_NS and before and took > before * 3 // 4:
            break
        before = took
    return took


def example(session: Session, rows: int = 1) -> dict[str, Array]:
    """Inputs that the model takes: the first rows of its first golden sample (repeated as needed), else zeros.

    `rows` 0: the whole sample, as it is.
    """
    golden = next((g for g in session.package.manifest.golden if g.kind != "score"), None)
    if golden is not None:
        try:
            inputs = read_golden(session.package.path, golden)[0].inputs
        except VerificationFailed as e:
            _log.warning("model '%s': %s", session.package.name, e)
        else:
            if not session.signature.batched or not rows:
                return inputs
            return {name: np.resize(a, (rows, *a.shape[1:])) for name, a in inputs.items()}
    return {t.name: zeros(t, rows) for t in session.signature.inputs if not t.optional}
