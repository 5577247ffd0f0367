"""One link: what was taken, what was not, and what is left when it is closed."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from gantline.accelerators.script import channel as ch
from gantline.accelerators.script.link import Call, Link, in_words

from .conftest import open_files


@pytest.fixture
def start(tmp_path: Path) -> Callable[[], Link]:
    script = tmp_path / "score.py"
    script.write_text("import time\ndef init(): pass\ndef run(d): return time.sleep(60) if d == 'slow' else d\n")
    config = {"entry": str(script), "code": str(tmp_path), "contract": "azure", "timeout_s": 60.0, "memory_limit": 0}
    return lambda: Link(
        [sys.executable], json.dumps({**config, "parent": os.getpid()}), dict(os.environ), str(tmp_path)
    )


def receive(link: Link, kind: int) -> bytes:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for message in link.receive():
            if message.kind == kind:
                return message.body
        link.wait(0.2)
    raise AssertionError("nothing came")


def test_a_life(start: Callable[[], Link]) -> None:
    before = open_files()
    link = start()
    files = open_files() - before
    assert len(files) == 5  # socket, output, mapping, tether
    assert json.loads(receive(link, ch.READY))["mode"] == "string"
    calls = [Call(ch.SCORE, b, lambda m: None) for b in (b"first", b"slow", b"after")]
    for i, call in enumerate(calls, 1):
        call.id = i
        assert link.send(call)
    assert receive(link, ch.REPLY) == b'"first"'
    end = time.monotonic() + 60
    while not link.taken(calls[1]):
        assert time.monotonic() < end
        link.wait(0.01)
    assert [link.taken(c) for c in calls] == [True, True, False]
    assert not link.stalled()
    calls[1].waiting = True
    assert link.stalled()
    link.close()
    assert link.process.returncode == -9 and link.dead
    assert not files & open_files()


def test_an_interpreter_that_is_not_there_leaves_nothing(tmp_path: Path) -> None:
    before = open_files()
    with pytest.raises(OSError, match="nothing-here"):
        Link([str(tmp_path / "nothing-here")], "{}", {}, str(tmp_path))
    assert not open_files() - before


def test_how_a_process_ended() -> None:
    assert in_words(3) == "exit status 3"
    assert in_words(-signal.SIGSEGV) == "signal SIGSEGV"
    assert in_words(-200) == "signal 200"
