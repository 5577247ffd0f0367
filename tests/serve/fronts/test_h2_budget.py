"""What a connection may cost: its age, control frames, and who may send on."""

from __future__ import annotations

from gantline.serve.fronts.h2_budget import MOST_RESETS, MOST_STREAMS, Age, Inflow, Valve
from hyperframe.frame import DataFrame, Frame, PingFrame, WindowUpdateFrame
from hypothesis import given
from hypothesis import strategies as st


def test_a_connection_is_old_after_so_many_streams_or_resets() -> None:
    age = Age(0.0)
    age.streams = MOST_STREAMS - 1
    age.resets = MOST_RESETS - 1
    assert not age.old
    age.streams += 1
    assert age.old
    age.streams, age.resets = 0, MOST_RESETS
    assert age.old


def test_control_frames_are_allowed_for_a_while_and_again_later() -> None:
    age = Age(0.0)
    allowed = 0
    while age.control(0.0):
        allowed += 1
    assert 1000 < allowed < 10_000
    assert not age.control(0.001) and age.control(60.0)
    for _ in range(10_000):  # one for every few pieces of data is what clients do to measure
        age.useful()
        age.useful()
        assert age.control(60.0)


def test_only_the_oldest_unfinished_body_goes_on_when_there_is_too_much() -> None:
    flow = Inflow(100)
    flow.keeps(1, 60)
    flow.keeps(3, 40)
    assert flow.held == set()
    flow.keeps(3, 50)
    flow.keeps(5, 1)
    assert flow.held == {3, 5}
    flow.keeps(1, 1000)  # it may go on to its end
    assert flow.held == {3, 5}
    flow.keeps(1, 0)
    assert flow.held == set()
    flow.keeps(5, 60)
    assert flow.held == {5}
    flow.forget(3)
    assert flow.held == set()


def test_a_reader_that_pauses_is_held_whatever_there_is() -> None:
    flow = Inflow(100)
    flow.pause(7, True)
    flow.pause(7, True)
    flow.keeps(9, 10)
    assert flow.held == {7}
    flow.pause(7, False)
    assert flow.held == set()
    flow.pause(7, True)
    flow.forget(7)
    assert flow.held == set()


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40)), max_size=60))
def test_somebody_may_always_go_on(steps: list[tuple[int, int]]) -> None:
    flow = Inflow(50)
    kept: dict[int, int] = {}
    for stream, size in steps:
        flow.keeps(stream, size)
        kept.pop(stream, None) if not size else kept.__setitem__(stream, size)
        if sum(kept.values()) > 50:
            assert len(kept.keys() - flow.held) == 1
        else:
            assert not flow.held


def parse(data: bytes) -> list[Frame]:
    found = []
    while data:
        frame, size = Frame.parse_frame_header(memoryview(data[:9]))
        frame.parse_body(memoryview(data[9 : 9 + size]))
        found.append(frame)
        data = data[9 + size :]
    return found


def update(stream: int, room: int) -> bytes:
    return WindowUpdateFrame(stream, window_increment=room).serialize()


def test_the_valve_keeps_back_room_and_nothing_else() -> None:
    valve = Valve()
    ping, data = PingFrame(0, b"12345678").serialize(), DataFrame(3, b"\x08" * 100).serialize()
    frames = update(0, 7) + update(3, 10) + data + update(5, 20) + ping + update(3, 1)
    assert valve.strain(frames, {3}) == update(0, 7) + data + update(5, 20) + ping
    assert valve and valve.released({3}) == b"" and valve.strain(b"", {3}) == b""
    given = parse(valve.released({5}))
    assert [(f.stream_id, f.window_increment) for f in given if isinstance(f, WindowUpdateFrame)] == [(3, 11)]
    assert not valve and valve.released(()) == b""


def test_the_valve_forgets_streams_that_have_ended() -> None:
    valve = Valve()
    valve.strain(update(1, 5) + update(3, 6), {1, 3})
    valve.forget(1)
    assert valve.released(()) == update(3, 6)
