"""Who stays in memory, simulated: nothing here loads a model."""

from __future__ import annotations

import random
from collections import OrderedDict
from itertools import accumulate

import pytest
from gantline.serve.residency import (
    FIRST_RETRY_NS,
    LAST_RETRY_NS,
    SESSION,
    Held,
    Overhead,
    Retries,
    Room,
    Weights,
    idle,
    room_for,
)

MIB = 1 << 20


def held(**weights: int) -> list[Held]:
    """Models by weight, the first one unused for longest."""
    return [Held(name, weight, last) for last, (name, weight) in enumerate(weights.items())]


def test_the_longest_unused_go_until_it_fits() -> None:
    known = held(a=10, b=20, c=30)
    assert room_for(40, known, 100) == Room()
    assert room_for(41, known, 100) == Room(("a",))
    assert room_for(101 - 60, held(a=1, b=1, c=1, d=57), 100) == Room(("a", "b")), (
        "and one more that is next to nothing"
    )
    assert room_for(60, known, 100) == Room(("a", "b"))
    assert room_for(100, known, 100) == Room(("a", "b", "c"))
    assert room_for(10**9, known, 0) == Room(), "no limit"


def test_whoever_is_pinned_or_at_work_stays() -> None:
    a, b, c = held(a=10, b=20, c=30)
    assert room_for(50, [a._replace(pinned=True), b, c], 100) == Room(("b",))
    assert room_for(50, [a._replace(busy=True), b._replace(pinned=True), c], 100) == Room(("c",))


def test_nobody_goes_in_vain() -> None:
    a, b, c = held(a=10, b=20, c=30)
    assert room_for(80, [a, b._replace(busy=True), c], 90) == Room((), False, False), "b may come to rest"
    assert room_for(80, [a, b._replace(pinned=True), c], 90) == Room((), False, True), "b never will"
    assert room_for(91, [], 90) == Room((), False, True)


def test_more_than_the_limit_is_there_already() -> None:
    assert room_for(0, held(a=50, b=60, c=70), 100) == Room(("a", "b"))


def test_who_has_been_idle() -> None:
    a, b = held(a=1, b=1)
    now = 1000
    assert idle([(a, 0), (b, 0)], now) == [], "without end"
    assert idle([(a, 999), (b, 999)], now) == ["a"], "longer than it may, not as long"
    assert idle([(a._replace(busy=True), 1), (b._replace(pinned=True), 1)], now) == []


def zipf(models: int, requests: int, seed: int) -> list[int]:
    weights = list(accumulate(1 / (rank + 1) ** 1.1 for rank in range(models)))
    return random.Random(seed).choices(range(models), cum_weights=weights, k=requests)


@pytest.mark.parametrize("seed", range(3))
def test_a_zipf_load_keeps_the_limit_and_goes_by_use_alone(seed: int) -> None:
    """A thousand models of different sizes, one request after another, beside an LRU written down otherwise."""
    rng = random.Random(seed)
    sizes = [rng.randrange(1, 5) * MIB for _ in range(1000)]
    limit, loads = 300 * MIB, 0
    there: dict[int, Held] = {}
    by_use: OrderedDict[int, int] = OrderedDict()
    for now, model in enumerate(zipf(1000, 20_000, seed)):
        if model not in there:
            loads += 1
            room = room_for(sizes[model], there.values(), limit)
            assert room.fits
            expected = []
            if (lack := sum(by_use.values()) + sizes[model] - limit) > 0:
                while lack > 0 or by_use[next(iter(by_use))] <= limit // 64 + lack:
                    oldest, size = by_use.popitem(last=False)
                    expected.append(oldest)
                    lack -= size
            assert list(room.out) == [str(m) for m in expected]
            for name in room.out:
                del there[int(name)]
        there[model] = Held(str(model), sizes[model], now)
        by_use[model] = sizes[model]
        by_use.move_to_end(model)
        assert sum(h.weight for h in there.values()) <= limit
    assert loads < 0.35 * 20_000, "an eighth of all models answers two thirds of all requests at least"


@pytest.mark.parametrize("seed", range(3))
def test_with_models_at_work_and_pinned(seed: int) -> None:
    """Requests take time, so that some models are always at work; loads that find no room are refused."""
    rng = random.Random(seed)
    limit = 40 * MIB
    there: dict[str, Held] = {}
    until: dict[str, int] = {}
    refused = 0
    pinned = {"0", "1", "2"}
    for now, model in enumerate(map(str, zipf(200, 10_000, seed))):
        there = {n: h._replace(busy=until.get(n, 0) > now) for n, h in there.items()}
        if model not in there:
            room = room_for(MIB, there.values(), limit)
            if not room.fits:
                refused += 1
                assert not room.hopeless
                assert sum(h.busy and not h.pinned for h in there.values()) == 37, "all but the pinned are at work"
                continue
            for name in room.out:
                assert not there[name].busy and name not in pinned
                stays = [h for n, h in there.items() if n not in room.out and not (h.busy or h.pinned)]
                assert all(there[name].last < h.last for h in stays)
                del there[name]
        there[model] = Held(model, MIB, now, model in pinned)
        until[model] = now + rng.randrange(140)
        assert sum(h.weight for h in there.values()) <= limit
    assert pinned <= there.keys() and 0 < refused < 1000


def test_weights_go_up_at_once_and_down_slowly() -> None:
    weights = Weights()
    assert weights.expected("m", 1000) == 1000 + SESSION
    assert weights.learn("m", 1000, 0) == 1000 + SESSION, "growth that was hidden says nothing"
    assert weights.learn("m", 1000, 8 * MIB) == weights.expected("m", 1000) == 8 * MIB
    found = [weights.learn("m", 1000, 0) for _ in range(60)]
    assert 7 * MIB <= found[0] < 8 * MIB and found == sorted(found, reverse=True) and found[-1] < MIB
    weights.learn("m", 1000, 8 * MIB)
    weights.forget("m")
    assert weights.expected("m", 1000) == 1000 + SESSION


def test_what_a_process_grows_by_beside_its_models() -> None:
    overhead = Overhead()
    overhead.learn(100 * MIB, 1 * MIB)
    assert overhead.on(1000) == 1000, "of so little nothing can be told"
    for _ in range(30):
        overhead.learn(150 * MIB, 100 * MIB)
    assert overhead.on(1000) == 1500
    overhead.learn(10_000 * MIB, 100 * MIB)
    assert overhead.on(1000) == 1625, "one look counts for a quarter, and for a factor of two at most"
    for _ in range(30):
        overhead.learn(10 * MIB, 100 * MIB)
    assert overhead.on(1000) == 1000, "models weigh what they weigh"


def test_a_load_that_failed_is_tried_ever_more_seldom() -> None:
    retries, now = Retries(), 0
    assert retries.may("m", now)
    pauses = []
    for _ in range(10):
        pauses.append(retries.failed("m", now))
        assert not retries.may("m", now + pauses[-1] - 1) and retries.may("other", now)
        now += pauses[-1]
        assert retries.may("m", now)
    assert pauses[:3] == [FIRST_RETRY_NS, 2 * FIRST_RETRY_NS, 4 * FIRST_RETRY_NS] and pauses[-1] == LAST_RETRY_NS
    retries.forgive("m")
    assert retries.may("m", 0) and retries.failed("m", 0) == FIRST_RETRY_NS
