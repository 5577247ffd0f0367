"""The relay's order of events, with workers that are coroutines: the real ones are in test_supervisor.py."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any

import pytest
from gantline.serve.control import Effect, Undo
from gantline.serve.process.relay import CHANGE_S, READ_S, Kept, Relay
from gantline.serve.process.seat import WorkerGone

from gantline.errors import BadArtefact, NotFound, Overloaded


class Worker:
    """Does what it is told when `step` lets it, and notes it."""

    def __init__(self, number: int, events: list[str]) -> None:
        self.number = number
        self.silent = False
        self.replaced: list[str] = []
        self.events = events
        self.fails: dict[str, Exception] = {}
        self.gate = asyncio.Event()
        self.gate.set()

    def replace(self, why: str) -> None:
        self.replaced.append(why)

    async def call(self, verb: str, arguments: dict[str, Any], seconds: float) -> Any:
        assert seconds == (READ_S if verb in ("count", "tell") else CHANGE_S)
        name = arguments.get("name", "")
        self.events.append(f"{self.number} begins {verb} {name}")
        await self.gate.wait()
        if verb in self.fails:
            raise self.fails[verb]
        self.events.append(f"{self.number} ends {verb} {name}")
        return f"{verb} by {self.number}"


class Company:
    def __init__(self, workers: int = 3) -> None:
        self.events: list[str] = []
        self.workers = [Worker(n + 1, self.events) for n in range(workers)]
        self.joined = list(self.workers)
        self.serving = list(self.workers)
        self.relay = Relay(lambda: self.joined, lambda: self.serving)

    async def until(self, event: str) -> None:
        while event not in self.events:  # noqa: ASYNC110  # no time passes here: every task gets its turn
            await asyncio.sleep(0)

    def load(self, asker: int, name: str, verb: str = "load") -> Coroutine[Any, Any, list[Any]]:
        return self.relay.ask(self.workers[asker - 1], verb, {"name": name}, Effect(f"model:{name}"))


def test_a_question_goes_to_all_who_serve() -> None:
    async def run() -> None:
        company = Company()
        del company.serving[2]
        answers = await company.relay.ask(company.workers[1], "count", {}, None)
        assert answers == ["count by 2", "count by 1"]
        assert await company.relay.ask(company.workers[2], "count", {}, None) == [
            "count by 3", "count by 1", "count by 2",
        ]  # fmt: skip
        company.workers[0].fails["count"] = WorkerGone()
        assert await company.relay.ask(company.workers[1], "count", {}, None) == ["count by 2"]
        company.workers[0].fails["count"] = NotFound("not here")
        with pytest.raises(NotFound, match="not here"):
            await company.relay.ask(company.workers[1], "count", {}, None)

    asyncio.run(run())


class Keeper:
    """Keeps what it hears, and says to whom it need not add."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, str]] = []

    def saw(self, worker: int, answer: str) -> None:
        self.heard.append((worker, answer))

    def answer(self, answers: Mapping[int, str]) -> str:
        return f"what others than {sorted(answers)} were"


def test_who_keeps_answers_hears_each_and_adds_one() -> None:
    async def run() -> None:
        company, keeper = Company(2), Keeper()
        kept = {"count": Kept(keeper, {})}
        relay = Relay(lambda: company.joined, lambda: company.serving, kept)
        answers = await relay.ask(company.workers[0], "count", {}, None)
        assert answers == ["count by 1", "count by 2", "what others than [1, 2] were"]
        assert keeper.heard == [(1, "count by 1"), (2, "count by 2")]
        company.workers[1].fails["count"] = WorkerGone()
        answers = await relay.ask(company.workers[0], "count", {}, None)
        assert answers == ["count by 1", "what others than [1] were"]

    asyncio.run(run())


def test_keepers_of_other_verbs_hear_too() -> None:
    async def run() -> None:
        company, one, two = Company(2), Keeper(), Keeper()
        kept = {"count": Kept(one, {"name": ""}), "tell": Kept(two, {"name": ""})}
        relay = Relay(lambda: company.joined, lambda: company.serving, kept)
        first, second = company.workers
        second.fails["tell"] = WorkerGone()
        answers = await relay.ask(first, "count", {"name": "m"}, None)
        assert answers == ["count by 1", "count by 2", "what others than [1, 2] were"]
        assert two.heard == [(1, "tell by 1")]
        assert sorted(one.heard) == [(1, "count by 1"), (1, "count by 1"), (2, "count by 2"), (2, "count by 2")]
        assert "1 begins count " in company.events and "1 begins count m" in company.events  # all, and what was asked
        company.events.clear()
        await relay.ask(first, "count", {"name": "m"}, None)
        assert [e for e in company.events if "begins" in e] == ["1 begins count m", "2 begins count m"]  # not so soon

    asyncio.run(run())


def test_a_change_is_tried_in_one_worker_first() -> None:
    async def run() -> None:
        company = Company()
        assert await company.load(2, "m") == ["load by 2", "load by 1", "load by 3"]
        assert company.events[:2] == ["2 begins load m", "2 ends load m"]
        company.events.clear()
        company.workers[1].fails["load"] = BadArtefact("torn")
        with pytest.raises(BadArtefact, match="torn"):
            await company.load(2, "n")
        assert company.events == ["2 begins load n"]
        late = Worker(4, [])
        await company.relay.catch_up(late)
        assert late.events == ["4 begins load m", "4 ends load m"]

    asyncio.run(run())


def test_changes_of_one_model_are_made_in_one_order_and_others_do_not_wait() -> None:
    async def run() -> None:
        company = Company(2)
        _, second = company.workers
        second.gate.clear()
        tasks = [asyncio.ensure_future(company.load(1, "m")), asyncio.ensure_future(company.load(2, "m", "unload"))]
        tasks.append(asyncio.ensure_future(company.load(1, "n")))
        await company.until("1 ends load n")
        assert "2 begins unload m" not in company.events
        second.gate.set()
        await asyncio.gather(*tasks)
        m = [e for e in company.events if e.endswith(" m")]
        assert m == [
            "1 begins load m", "1 ends load m", "2 begins load m", "2 ends load m",
            "2 begins unload m", "2 ends unload m", "1 begins unload m", "1 ends unload m",
        ]  # fmt: skip

    asyncio.run(run())


def test_one_that_dies_is_answered_for_by_the_next() -> None:
    async def run() -> None:
        company = Company(2)
        company.workers[1].fails["load"] = WorkerGone()
        assert await company.load(1, "m") == ["load by 1"]
        company.workers[0].fails["unload"] = WorkerGone()
        with pytest.raises(WorkerGone):
            await company.load(1, "m", "unload")  # of who asked, nobody waits for an answer
        late = Worker(2, [])
        late.fails["load"] = BadArtefact("changed since")
        await company.relay.catch_up(late)
        assert late.events == ["2 begins load m"]

    asyncio.run(run())


def test_what_fails_in_a_later_worker_is_undone_in_all() -> None:
    async def run() -> None:
        company = Company()
        company.workers[2].fails["load"] = Overloaded("no memory", retry_after_s=7.0)
        undo = Undo("unload", {"name": "m"})
        with pytest.raises(Overloaded, match=r"no memory \(this was in worker 3; it was undone in all workers\)") as e:
            await company.relay.ask(company.workers[0], "load", {"name": "m"}, Effect("model:m", undo=undo))
        assert e.value.retry_after_s == 7.0
        assert [e for e in company.events if "ends" in e][2:] == [f"{n} ends unload m" for n in (1, 2, 3)]
        late = Worker(4, [])
        await company.relay.catch_up(late)
        assert late.events == ["4 begins unload m", "4 ends unload m"]
        assert not any(w.replaced for w in company.workers)
        company.workers[1].fails["unload"] = BadArtefact("stuck")
        with pytest.raises(Overloaded):
            await company.relay.ask(company.workers[0], "load", {"name": "m"}, Effect("model:m", undo=undo))
        assert [w.replaced for w in company.workers] == [[], ["'load' could not be undone in it: stuck"], []]

    asyncio.run(run())


def test_what_cannot_be_undone_replaces_those_that_differ() -> None:
    async def run() -> None:
        company = Company()
        for worker in company.workers[1:]:
            worker.fails["load"] = BadArtefact("torn")
        with pytest.raises(BadArtefact, match=r"\(it was done in the other workers; workers 2, 3 differed"):
            await company.load(1, "m")
        assert [len(w.replaced) for w in company.workers] == [0, 1, 1]
        late = Worker(4, [])
        await company.relay.catch_up(late)
        assert late.events == ["4 begins load m", "4 ends load m"]  # it stands

    asyncio.run(run())


def test_an_undo_that_was_thought_of_during_another_change_is_not_trusted() -> None:
    async def run() -> None:
        company = Company(2)
        first, second = company.workers
        second.gate.clear()
        before = asyncio.ensure_future(company.load(1, "m"))
        await company.until("2 begins load m")
        effect = Effect("model:m", undo=Undo("unload", {"name": "m"}))
        again = asyncio.ensure_future(company.relay.ask(first, "load", {"name": "m"}, effect))
        await asyncio.sleep(0)
        second.gate.set()
        await before
        second.fails["load"] = BadArtefact("torn")
        with pytest.raises(BadArtefact, match="differed"):
            await again
        assert second.replaced and not any("unload" in e for e in company.events)

    asyncio.run(run())


def test_nobody_waits_for_one_that_falls_silent() -> None:
    async def run() -> None:
        company = Company(3)
        third = company.workers[2]
        third.gate.clear()
        asked = asyncio.ensure_future(company.relay.ask(company.workers[0], "count", {}, None))
        await company.until("3 begins count ")
        third.silent = True
        assert await asked == ["count by 1", "count by 2"]
        company.events.clear()
        assert await company.relay.ask(company.workers[0], "count", {}, None) == ["count by 1", "count by 2"]
        assert not any(e.startswith("3") for e in company.events)  # not even asked
        # a change it is told of, to make it when it wakes
        assert await company.load(1, "m") == ["load by 1", "load by 2"]
        assert await company.load(2, "m", "unload") == ["unload by 2", "unload by 1"]
        third.gate.set()
        await company.until("3 ends unload m")
        assert third.replaced == []

    asyncio.run(run())


def test_one_that_wakes_and_fails_is_replaced() -> None:
    async def run() -> None:
        company = Company(2)
        second = company.workers[1]
        second.silent = True
        second.gate.clear()
        second.fails["load"] = BadArtefact("torn")
        assert await company.load(1, "m") == ["load by 1"]
        second.gate.set()
        while not second.replaced:  # noqa: ASYNC110  # no time passes here
            await asyncio.sleep(0)
        assert second.replaced == ["'load' was done in the other workers, and failed here: torn"]

    asyncio.run(run())


def test_who_falls_silent_while_it_catches_up_keeps_nobody_waiting() -> None:
    async def run() -> None:
        company = Company(1)
        await company.load(1, "m")
        late = Worker(2, company.events)
        late.gate.clear()
        catching = asyncio.ensure_future(company.relay.catch_up(late))
        await company.until("2 begins load m")
        late.silent = True
        assert await company.load(1, "m", "unload") == ["unload by 1"]
        late.silent = False
        late.gate.set()
        await catching
        assert company.events[-1] == "2 ends unload m"

    asyncio.run(run())


def test_who_catches_up_waits_for_a_change_under_way() -> None:
    async def run() -> None:
        company = Company(2)
        await company.load(1, "m")
        late = Worker(3, company.events)
        company.workers[1].gate.clear()
        unload = asyncio.ensure_future(company.load(1, "m", "unload"))
        await company.until("2 begins unload m")
        catching = asyncio.ensure_future(company.relay.catch_up(late))
        await asyncio.sleep(0)
        assert not any(e.startswith("3") for e in company.events)
        company.workers[1].gate.set()
        await asyncio.gather(unload, catching)
        assert [e for e in company.events if e.startswith("3")] == ["3 begins unload m", "3 ends unload m"]

    asyncio.run(run())
