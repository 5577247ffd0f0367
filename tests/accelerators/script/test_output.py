"""What a script prints: logged under the model's name, never a reason to wait."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from gantline.accelerators.script import output as module
from gantline.accelerators.script.output import LINE, LINES_PER_SECOND, Output

from .conftest import Start, ask


@pytest.fixture
def pipe(caplog: pytest.LogCaptureFixture) -> Iterator[tuple[Output, int]]:
    caplog.set_level("INFO", "gantline.script")
    read, write = os.pipe()
    yield Output("m", read), write
    os.close(read)
    os.close(write)


def test_lines_are_logged_whole(pipe: tuple[Output, int], caplog: pytest.LogCaptureFixture) -> None:
    output, write = pipe
    os.write(write, b"one\ntw")
    output.pump()
    os.write(write, b"o\n\n\xff\nlast")
    output.pump()
    assert caplog.messages == ["[m] one", "[m] two", "[m] \N{REPLACEMENT CHARACTER}"]
    output.finish()
    assert caplog.messages[-1] == "[m] last"


def test_a_line_without_end_is_cut(pipe: tuple[Output, int], caplog: pytest.LogCaptureFixture) -> None:
    output, write = pipe
    os.write(write, b"x" * (LINE + 10))
    output.pump()
    output.finish()
    assert caplog.messages == ["[m] " + "x" * LINE]


def test_a_flood_is_counted_not_logged(
    pipe: tuple[Output, int], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, write = pipe
    now = [100.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    os.write(write, b"x\n" * (LINES_PER_SECOND + 300))
    output.pump()
    assert len(caplog.messages) == LINES_PER_SECOND
    now[0] += 1
    os.write(write, b"calm\n")
    output.pump()
    assert caplog.messages[-2:] == ["[m] printed too fast: 300 lines were dropped", "[m] calm"]


def test_a_script_that_prints_megabytes_is_not_held_up(start: Start) -> None:
    engine = start(
        """
        def init():
            pass
        def run(data):
            for i in range(40):
                print("x" * 100_000)
            return "done"
        """
    )
    assert ask(engine, b"")[0].body == b'"done"'
