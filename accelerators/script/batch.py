"""Batch: serving `run_batch(list)`: greedy, as many as wait; one bad item fails alone. Runs in the host."""

from __future__ import annotations

import inspect
from time import perf_counter_ns
from typing import Any

from .channel import Channel
from .contract import Refused, Script
from .host import Answerer, report, wait_for
from .ring import Message
from .watch import NobodyWaits, OutOfTime

LARGEST = 256  # items of one call


class Batches(Answerer):
    """Takes what waits, calls run_batch() once, and answers each."""

    def __init__(self, script: Script, channel: Channel, timeout_s: float) -> None:
        super().__init__(script, channel, timeout_s)
        assert script.batch is not None
        self._batch = script.batch

    def answer(self, message: Message) -> None:
        channel = self.channel
        messages = [message]
        while len(messages) < LARGEST and (more := channel.take()) is not None:
            messages.append(more)
        channel.told()
        ids: list[int] = []
        items: list[str] = []
        for one in messages:
            if self.cancelled(one.id):
                continue
            try:
                items.append(self.script.text(one))
                ids.append(one.id)
            except Refused as e:
                self.failed(one.id, e)
        if ids:
            self._run(ids, items)

    def _run(self, ids: list[int], items: list[str]) -> None:
        self.current = tuple(ids)
        started = perf_counter_ns()
        try:
            with self.alarm:
                results: Any = self._batch(list(items))
                if inspect.isawaitable(results):
                    results = wait_for(results)
            self.own_process()
            results = list(results)
            if len(results) != len(items):
                raise ValueError(f"run_batch() answered {len(results)} results for {len(items)} items")
        except (OutOfTime, NobodyWaits) as e:
            for id in ids:
                self.failed(id, e)
            return
        except BaseException as e:
            self.own_process()
            if len(ids) == 1:
                self.failed(ids[0], e)
                return
            report(e)
            # somebody's item broke the batch: halves, until the guilty are alone
            half = len(ids) // 2
            self._run(ids[:half], items[:half])
            self._run(ids[half:], items[half:])
            return
        took = perf_counter_ns() - started
        for id, result in zip(ids, results, strict=True):
            self.finish(id, result, took)
