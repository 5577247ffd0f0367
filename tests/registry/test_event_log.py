"""The log: later lines have later times, and tell what an alias pointed at, at every moment."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from gantline.packages import Package
from gantline.registry import event_log
from gantline.registry.event_log import Event, periods, pointed_at
from gantline.registry.registry import Registry

MakePackage = Callable[..., Package]
STEPS = st.lists(st.tuples(st.integers(1, 50), st.one_of(st.none(), st.integers(1, 5))), min_size=1)


@settings(max_examples=30)
@given(STEPS)
def test_every_moment_is_told(steps: list[tuple[int, int | None]]) -> None:
    """Against what anybody would do: play the lines and look."""
    at, events = 0, []
    for i, (wait, version) in enumerate(steps):
        at += wait
        events.append(Event(i, at, "ann", "promote", "iris", version, "a", None, version))
    times = periods(events)
    for moment in range(at + 3):
        played = None
        for event in events:
            if event.at <= moment:
                played = event.became
        assert pointed_at(times, moment) == played


def test_a_clock_that_goes_back_does_not_take_the_log_along(registry: Registry, make: MakePackage) -> None:
    registry.register(make())
    for now in (2 * 10**15, 10**15, 1, 2 * 10**15 + 5):
        with registry.database.writing() as connection:
            event_log.append(connection, now, "ann", "test", "iris")
    log = registry.history("iris")
    assert [e.id for e in log] == [1, 2, 3, 4, 5]
    assert [e.at for e in log[1:]] == [2 * 10**15, 2 * 10**15 + 1, 2 * 10**15 + 2, 2 * 10**15 + 5]


def test_what_moved_since_a_line(registry: Registry, make: MakePackage) -> None:
    registry.register(make(factor=2), alias="champion")
    registry.register(make(name="wine"), alias="champion")
    begin, moved = registry.moved(None)
    assert begin > 0 and moved == frozenset()
    registry.register(make(factor=3))
    here, moved = registry.moved(begin)
    assert here > begin and moved == frozenset(), "nothing that an alias is concerned with"
    registry.promote("iris:2", "champion")
    registry.rollback("iris", "champion", 1)
    registry.release("wine", "champion")
    end, moved = registry.moved(here)
    assert moved == {("iris", "champion"), ("wine", "champion")}
    assert registry.moved(end) == (end, frozenset())
    assert registry.moved(end + 100) == (end, moved), "another log: all of it is new"
