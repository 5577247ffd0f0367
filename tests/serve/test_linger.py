"""Linger: awake while it pays, and seldom in vain."""

from __future__ import annotations

from collections.abc import Callable

from gantline.serve.linger import EAGER, LINGER_NS, QUICK_NS, WARY, Linger

US = 1000


class Loop:
    """A loop with a clock of its own, whose turns take a microsecond."""

    def __init__(self, cores: int = 2) -> None:
        self.now = 0
        self.due: list[Callable[[], None]] = []
        self.turns = 0
        self.linger = Linger(self.due.append, lambda: self.now, cores)

    def until(self, then: int) -> None:
        """What the loop does up to a time."""
        while self.due and self.now < then:
            self.now += US
            self.turns += 1
            self.due.pop(0)()
            assert len(self.due) <= 1
        self.now = max(self.now, then)

    def ask(self, gap: int, times: int = 1) -> None:
        """Requests that come `gap` after the last answer, and take 20 us each."""
        for _ in range(times):
            self.until(self.now + gap)
            came = self.now
            self.now += 20 * US
            self.linger.answered(came)

    @property
    def awake(self) -> bool:
        return bool(self.due)


def test_a_client_that_comes_back_at_once_is_waited_for_awake() -> None:
    loop = Loop()
    loop.ask(50 * US, EAGER - 1)
    assert not loop.awake, "only after some in a row"
    loop.ask(50 * US, 2)
    assert loop.awake
    turns = loop.turns
    loop.ask(50 * US, 100)
    assert loop.awake and loop.turns - turns == 50 * 100, "looking all the time, in one turn after another"


def test_it_lets_go_when_nobody_comes() -> None:
    loop = Loop()
    loop.ask(50 * US, 100)
    answered = loop.now
    loop.until(answered + LINGER_NS + US)
    assert not loop.awake and loop.now <= answered + LINGER_NS + US
    loop.ask(10**9)
    loop.ask(50 * US, EAGER)
    assert loop.awake, "one pause after a long run is nothing to be wary of"


def test_clients_that_take_their_time_cost_nothing() -> None:
    loop = Loop()
    loop.ask(QUICK_NS + US, 10_000)
    assert loop.turns == 0


def test_waits_in_vain_become_rare() -> None:
    loop = Loop()
    loop.ask(QUICK_NS - US, 20 * WARY)  # near enough to hope, too far to wait for
    spent = loop.turns * US
    assert 0 < spent < 40 * LINGER_NS, "doubling up to the limit, then one in so many"
    loop.ask(50 * US, 3 * WARY)
    loop.until(loop.now + 10**6)
    loop.ask(50 * US, EAGER + 1)
    assert loop.awake, "and a client that has shown to be quick is trusted again"


def test_on_one_core_the_client_could_not_come_back() -> None:
    loop = Loop(cores=1)
    loop.ask(50 * US, 1000)
    assert not loop.turns and not loop.awake
