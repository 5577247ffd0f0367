"""What is known, what is loaded, and which path means which model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from gantline.accelerators.session import Session
from gantline.serve.entry import Entry
from gantline.serve.model import Model
from gantline.serve.repository import LOADING, READY, UNAVAILABLE, UNLOADING, Repository, Slot

from gantline.errors import NotFound, Unavailable
from gantline.packages import Package

Publish = Callable[[Repository, Slot], Model]


@pytest.fixture
def at(zoo: Path) -> Callable[[Callable[[Publish], None]], None]:
    """Run a test where models can be made: on a loop."""

    def on(test: Callable[[Publish], None]) -> None:
        async def run() -> None:
            with ThreadPoolExecutor(1) as pool:

                def publish(repository: Repository, slot: Slot) -> Model:
                    session = Session.open(Package.bare(zoo / "double.onnx", slot.entry.name))
                    model = Model(session, slot.entry.name, slot.entry.version, pool)
                    repository.swap(slot.entry.name, [(slot.entry, model)], whole=False)
                    return model

                test(publish)

        asyncio.run(run())

    return on


At = Callable[[Callable[[Publish], None]], None]


def entry(name: str, version: str = "1", problem: str = "") -> Entry:
    return Entry(name, version, None, problem=problem)


def test_order_of_names_and_versions() -> None:
    repository = Repository([entry("b", "10"), entry("a"), entry("b", "9")])
    assert [(s.entry.name, s.entry.version) for s in repository.slots()] == [("a", "1"), ("b", "9"), ("b", "10")]
    assert repository.names() == ["a", "b"] and list(repository.slots("none")) == []


def test_a_version_or_the_highest(at: At) -> None:
    def test(publish: Publish) -> None:
        repository = Repository([entry("m", v) for v in ("1", "2", "10")])
        slots = list(repository.slots())
        one, two = publish(repository, slots[0]), publish(repository, slots[1])
        assert repository.find("m") is two and repository.find("m", "1") is one  # 10 is not loaded
        ten = publish(repository, slots[2])
        assert repository.find("m") is ten and repository.versions("m") == ["1", "2", "10"]
        assert repository.routes[b"/v2/models/m/infer"] is ten
        assert repository.routes[b"/v2/models/m/versions/2/infer"] is two
        assert repository.swap("m", [(slots[0].entry, one), (slots[1].entry, two)]) == [ten, one, two]
        assert repository.routes[b"/v2/models/m/infer"] is two and repository.versions("m") == ["1", "2"]
        assert b"/v2/models/m/versions/10/infer" not in repository.routes
        with pytest.raises(NotFound, match="'m' version 10 is not found"):
            repository.find("m", "10")

    at(test)


def test_what_is_not_there() -> None:
    repository = Repository([entry("m", problem="m: empty"), entry("n")])
    with pytest.raises(NotFound, match="Request for unknown model: 'x' is not found"):
        repository.find("x")
    with pytest.raises(NotFound, match="unknown model: 'm' version 7 is not found"):
        repository.find("m", "7")
    with pytest.raises(Unavailable, match="model 'm' is not ready: m: empty"):
        repository.find("m")
    with pytest.raises(Unavailable, match="model 'n' is not ready: it was not loaded"):
        repository.find("n", "1")
    next(repository.slots("n")).state = LOADING
    with pytest.raises(Unavailable, match="model 'n' is not ready: it is being loaded"):
        repository.find("n")


def test_another_face_has_its_own_paths(at: At) -> None:
    def test(publish: Publish) -> None:
        repository = Repository([entry("m", "1"), entry("m", "2"), entry("n")])
        one, two, other = (publish(repository, s) for s in repository.slots())
        found = repository.route(lambda name, version: [f"/{name}/{version}".encode()])
        assert found == {b"/m/": two, b"/m/1": one, b"/m/2": two, b"/n/": other, b"/n/1": other}
        repository.withdraw("m", "unloaded")
        assert found == {b"/n/": other, b"/n/1": other}
        again = publish(repository, next(repository.slots("m")))
        assert found[b"/m/"] is found[b"/m/1"] is again and len(found) == 4
        assert repository.routes[b"/v2/models/m/infer"] is again

    at(test)


def test_states_and_what_is_replaced(at: At) -> None:
    def test(publish: Publish) -> None:
        heard: list[int] = []
        repository = Repository([entry("m", problem="m: empty")])
        repository.listeners.append(lambda: heard.append(len(repository.routes)))
        (slot,) = repository.slots()
        assert (slot.state, slot.reason) == (UNAVAILABLE, "m: empty")
        first = publish(repository, slot)
        assert (slot.state, slot.reason, slot.model) == (READY, "", first)
        second = publish(repository, slot)
        assert slot.model is second
        assert repository.withdraw("m", "unloaded") == [second]
        assert (slot.state, slot.reason) == (UNLOADING, "unloaded") and repository.routes == {}
        assert heard == [2, 2, 0] and repository.withdraw("m", "again") == []
        assert repository.add(entry("m", problem="")) is slot and slot.model is None
        publish(repository, slot)
        served = slot.entry
        assert repository.add(entry("m")) is slot and slot.entry is served  # until its successor is ready
        repository.withdraw("m", "gone")
        repository.forget("m")
        assert list(repository.slots()) == [] and repository.versions("m") == []
        with pytest.raises(NotFound):
            repository.find("m")

    at(test)


def test_a_set_of_versions_is_swapped_at_once(at: At) -> None:
    def test(publish: Publish) -> None:
        repository = Repository([entry("m", "1"), entry("m", "2"), entry("m", "9", "m/9: broken")])
        old = [publish(repository, s) for s in list(repository.slots())[:2]]
        seen: list[list[bytes]] = []
        repository.listeners.append(lambda: seen.append(sorted(repository.routes)))
        new = [(entry("m", v), _like(old[0], v)) for v in ("2", "3")]
        assert repository.swap("m", new) == old
        base = b"/v2/models/m"
        assert seen == [[base + b"/infer", base + b"/versions/2/infer", base + b"/versions/3/infer"]]
        assert [(s.entry.version, s.state) for s in repository.slots()] == [("2", READY), ("3", READY)]

    at(test)


def test_many_that_come_are_told_once_and_what_goes_at_once(at: At) -> None:
    def test(publish: Publish) -> None:
        repository = Repository([entry(name) for name in "abc"])
        heard: list[int] = []
        repository.listeners.append(lambda: heard.append(len(repository.routes)))
        with repository.gathering():
            for slot in repository.slots():
                publish(repository, slot)
            assert heard == [] and len(repository.routes) == 6, "they serve already"
            repository.withdraw("b", "unloaded")
            assert heard == [4]
        assert heard == [4, 4]
        publish(repository, next(repository.slots("b")))
        assert heard == [4, 4, 6]

    at(test)


def _like(model: Model, version: str) -> Model:
    return Model(model.session, model.name, version, model.dispatch._pool)


def test_a_pinned_version_answers_where_none_is_asked_for(at: At) -> None:
    def test(publish: Publish) -> None:
        repository = Repository([entry("m", "1"), replace(entry("m", "2"), pinned=True), entry("m", "3")])
        one, two, three = repository.slots()
        publish(repository, one), publish(repository, three)
        with pytest.raises(Unavailable, match="model 'm' is not ready"):  # not another version in its place
            repository.find("m")
        assert b"/v2/models/m/infer" not in repository.routes
        pinned = publish(repository, two)
        assert repository.find("m") is pinned is repository.routes[b"/v2/models/m/infer"]
        assert repository.find("m", "3") is three.model

    at(test)


def test_the_default_model(at: At) -> None:
    def test(publish: Publish) -> None:
        one = Repository([entry("m")])
        assert one.default_model() is None
        model = publish(one, next(iter(one.slots())))
        assert one.default_model() is model
        two = Repository([entry("m"), entry("n")])
        for slot in two.slots():
            publish(two, slot)
        assert two.default_model() is None
        named = Repository([entry("m"), entry("n")], "n")
        slots = {s.entry.name: publish(named, s) for s in named.slots()}
        assert named.default_model() is slots["n"]
        assert Repository([entry("m")], "none").default_model() is None

    at(test)


def test_a_model_of_another_name_is_not_put_in_place(at: At) -> None:
    """It would replace one that stays routed, and the loader closes what is replaced."""

    def test(publish: Publish) -> None:
        repository = Repository([entry("m")])
        (slot,) = repository.slots()
        model = publish(repository, slot)
        before = dict(repository.routes)
        for whole in (True, False):
            with pytest.raises(ValueError, match="m: cannot be put in place as ''"):
                repository.swap("", [(slot.entry, model)], whole)
        assert repository.routes == before and slot.model is model and repository.names() == ["m"]

    at(test)
