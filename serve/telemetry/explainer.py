"""Explainer: the verb "dispatch": why recent batches went when they did, and where their requests' time went."""

from __future__ import annotations

from collections import Counter
from time import perf_counter_ns
from typing import Any, TypeAlias

from ..batcher import Batcher
from ..control import Arguments, Control
from ..model import Model
from ..repository import Repository
from ..script_queue import ScriptQueue
from ..standby import Standby
from ..statistics import PHASES, Statistics
from .histogram import quantile
from .snapshot import add_histograms

Json: TypeAlias = dict[str, Any]


class Explainer:
    """Registers its verb with the control."""

    def __init__(self, repository: Repository, control: Control) -> None:
        self.repository = repository
        control.register("dispatch", self._dispatch, merge)

    async def _dispatch(self, arguments: Arguments) -> Json:
        """name, version (may be empty: the one that answers). NotFound or Unavailable."""
        try:
            model = self.repository.find(arguments["name"], arguments["version"])
        except Standby as e:
            return self._remembered(e.name, arguments["version"])
        return _answer(model.name, model.version, model.statistics, [_worker(model)])

    def _remembered(self, name: str, version: str) -> Json:
        """Of a model that is not loaded now."""
        version = version or self.repository.answering(name)
        return _answer(name, version, self.repository.ledger.known(name, version), [])


def _answer(name: str, version: str, statistics: Statistics, workers: list[Json]) -> Json:
    durations = {phase: getattr(statistics, phase).to_json() for phase in ("request", *PHASES)}
    reasons = dict(statistics.reasons)
    return {"name": name, "version": version, "reasons": reasons, "durations": durations, "workers": workers}


def merge(answers: list[Json]) -> Json:
    """Counts of all workers together; what each does now and did last, side by side."""
    reasons: Counter[str] = Counter()
    for answer in answers:
        reasons.update(answer["reasons"])
    return answers[0] | {
        "reasons": dict(reasons),
        "durations": {
            phase: add_histograms([a["durations"][phase] for a in answers]) for phase in answers[0]["durations"]
        },
        "workers": [worker for answer in answers for worker in answer["workers"]],
    }


def told(answer: Json) -> Json:
    """The answer as a person reads it: durations as mean and quantiles in ms, right to the width of a bucket."""
    durations = {}
    for phase, histogram in answer["durations"].items():
        counts, count = histogram["counts"], sum(histogram["counts"])
        durations[phase] = {
            "count": count,
            "mean_ms": _ms(histogram["sum"] / count if count else 0),
            **{f"p{percent}_ms": _ms(quantile(counts, percent / 100)) for percent in (50, 90, 99)},
        }
    return answer | {"durations": durations}


def _worker(model: Model) -> Json:
    batcher, dispatch = model.batcher, model.dispatch
    describe = getattr(batcher.pace, "describe", dict)  # what it has learned, of one that learns
    now = perf_counter_ns()
    scores = {} if model.scores is None else {"score": _score(model.scores)}
    return {
        "pace": {"kind": type(batcher.pace).__name__.lower(), **describe()},
        "waiting": _waiting(batcher),
        "running_requests": dispatch.running,
        "instances": dispatch.instances,
        "next_batch": {  # begins before the last one's answers are written where that costs less than it gains
            "fixed_cost_ms": _ms(dispatch.overlap.fixed_ns),
            "between_batches_ms": _ms(dispatch.overlap.between_ns),
        },
        "expected_batch_ms": _ms(dispatch.batch_ns),
        "batches": {"on_loop": dispatch.inline_batches, "on_thread": dispatch.thread_batches},
        "last": [
            {
                "ago_ms": _ms(now - d.at),
                "reason": d.reason,
                "rows": d.rows,
                "requests": d.requests,
                "waiting_rows": d.waiting,
                "oldest_waited_ms": _ms(d.at - d.oldest),
            }
            for d in reversed(batcher.decisions)
        ],
        **scores,
    }


def _waiting(batcher: Batcher) -> Json:
    return {"requests": len(batcher), "rows": batcher.waiting_rows, "limit_rows": batcher.admission.limit}


def _score(queue: ScriptQueue) -> Json:
    """How /score stands, whose requests a script gets one by one."""
    return {"waiting": _waiting(queue.batcher), "with_script": queue.running, "room": queue.room}


def _ms(ns: float) -> float:
    return round(ns / 1e6, 4)
