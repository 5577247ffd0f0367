"""A script whose answer nobody waits for any longer: stopped where it stands, or killed, and others pay nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest
from gantline.accelerators.engine import EngineOptions
from gantline.accelerators.script import channel as ch
from gantline.accelerators.script.engine import ScriptEngine
from gantline.accelerators.script.link import Call
from gantline.accelerators.script.ring import Message

from gantline.errors import Unavailable
from gantline.signature import Signature, TensorSpec

from .conftest import Start, ask, call
from .test_process import until

SIGNATURE = Signature((TensorSpec("n", "INT64", (1,)),), (TensorSpec("i", "INT64", (1,)),))
SCRIPT = """
    import itertools, os, time
    from pathlib import Path
    here = Path(__file__).parent
    def init():
        pass
    def run(data):
        if data.startswith("good"):
            return data
        mark = here / "begun"
        try:
            if data == "c":  # from its mark on, not a line of Python
                sum(itertools.chain(map(os.open, [str(mark)], [os.O_CREAT]), range(10 ** 12)))
            while data == "deaf":
                try:
                    mark.touch()
                    time.sleep(600)
                except BaseException:
                    pass
            mark.touch()
            if data == "loop":
                while True:
                    pass
            if data == "sleep":
                time.sleep(600)
            if data == "swallow":
                while True:
                    try:
                        time.sleep(600)
                    except Exception:
                        pass
            if data == "stream":
                def generator():
                    yield "x"
                    time.sleep(600)
                return generator()
        finally:
            (here / "finally").touch()
"""


def folder(engine: ScriptEngine) -> Path:
    return Path(engine.host._supervisor._launch.config["code"])


def begin(engine: ScriptEngine, body: bytes) -> tuple[Call, list[Message]]:
    """A call that the script has begun with."""
    mark = folder(engine) / "begun"
    mark.unlink(missing_ok=True)
    one, found = call(body)
    engine.host.submit(one)
    until(mark.exists)
    return one, found


def wait_for(engine: ScriptEngine, true: Callable[[], bool]) -> None:
    """Take what the host says until it is so."""
    never = threading.Event()

    def found() -> bool:
        engine.host._receive_or_wait(never)
        return true()

    until(found)


@pytest.mark.parametrize("deed", [b"loop", b"sleep", b"swallow"])
@pytest.mark.parametrize("shared", [False, True])
def test_python_code_is_stopped_where_it_stands(start: Start, tmp_path: Path, deed: bytes, shared: bool) -> None:
    engine = start(SCRIPT, options=EngineOptions(grace_s=30, shared=tmp_path if shared else None))
    bad, found = begin(engine, deed)
    assert engine.host.cancel(bad)
    assert [m.body for m in ask(engine, b"good", b"good 2")] == [b'"good"', b'"good 2"']
    assert found[-1].flags & ch.CANCELLED and (folder(engine) / "finally").exists()
    assert engine.host.restarts == 0


@pytest.mark.parametrize(("deed", "shared"), [(b"deaf", True), (b"c", False)])
def test_what_does_not_stop_is_killed_after_the_grace(
    start: Start, tmp_path: Path, deed: bytes, shared: bool, caplog: pytest.LogCaptureFixture
) -> None:
    engine = start(SCRIPT, options=EngineOptions(grace_s=0.2, shared=tmp_path if shared else None))
    for _ in range(7):  # were these crashes, the next start would be 3.2 s away, and callers refused
        bad, found = begin(engine, deed)
        engine.host.cancel(bad)
        assert ask(engine, b"good")[0].body == b'"good"'
        assert found[-1].flags & (ch.CANCELLED | ch.DIED)
    until(lambda: engine.host.restarts == 7)
    assert "its script did not stop in 0.2 s: killed" in caplog.text


def test_without_a_grace_the_script_goes_on(start: Start) -> None:
    engine = start(
        """
        from pathlib import Path
        here = Path(__file__).parent
        def init(): pass
        def run(data):
            if data == "wait":
                (here / "begun").touch()
                while not (here / "go").exists():
                    pass
            return data
        """
    )
    one, found = begin(engine, b"wait")
    engine.host.cancel(one)
    (folder(engine) / "go").touch()
    assert ask(engine, b"good")[0].body == b'"good"'
    assert found[-1].body == b'"wait"'


def test_a_stream_of_run_is_stopped_in_the_middle(start: Start) -> None:
    engine = start(SCRIPT, options=EngineOptions(grace_s=30))
    one, found = call(b"stream")
    engine.host.submit(one)
    wait_for(engine, lambda: any(m.kind == ch.CHUNK for m in found))
    engine.host.cancel(one)
    assert ask(engine, b"good")[0].body == b'"good"'
    assert (found[-1].kind, found[-1].flags) == (ch.END, ch.CANCELLED)


def test_what_others_share_goes_on_until_nobody_wants_it(start: Start) -> None:
    engine = start(
        """
        import time
        from pathlib import Path
        here = Path(__file__).parent
        def init(): pass
        def run_batch(items):
            if items == ["first"]:
                (here / "begun").touch()
                while not (here / "go").exists():
                    time.sleep(0.01)
            elif "good" not in items:
                (here / "begun").write_text(" ".join(items))
                while not (here / "done").exists():
                    time.sleep(0.01)
            return items
        """,
        options=EngineOptions(grace_s=0.5),
    )
    begun = folder(engine) / "begun"
    pairs = [begin(engine, b"first"), call(b"a"), call(b"b")]
    for one, _ in pairs[1:]:
        engine.host.submit(one)
    (folder(engine) / "go").touch()
    until(lambda: begun.exists() and begun.read_text() == "a b")
    engine.host.cancel(pairs[1][0])
    threading.Event().wait(1.2)  # more than twice the grace
    assert engine.host.restarts == 0
    engine.host.cancel(pairs[2][0])
    assert ask(engine, b"good")[0].body == b'"good"'
    assert [found[-1].flags & ch.CANCELLED for _, found in pairs[1:]] == [ch.CANCELLED] * 2
    assert engine.host.restarts == 0


@pytest.mark.parametrize("text", ["while True: pass", "import time; time.sleep(600)"])
def test_infer_whose_callers_have_gone(start: Start, text: str) -> None:
    text = f"def infer(inputs):\n    if inputs['n'][0]: return {{'i': inputs['n']}}\n    {text}\n"
    gone = threading.Event()
    options = EngineOptions(grace_s=30, wanted=lambda: not gone.is_set())
    engine = start(text, contract="tensors", signature=SIGNATURE, options=options)
    timer = threading.Timer(0.2, gone.set)
    timer.start()
    with pytest.raises(Unavailable, match="was cancelled"):
        engine.run({"n": np.array([0])}, ["i"])
    timer.join()
    with pytest.raises(Unavailable, match="was cancelled"):  # not begun at all
        engine.run({"n": np.array([0])}, ["i"])
    gone.clear()
    assert engine.run({"n": np.array([7])}, ["i"])[0].tolist() == [7]
    assert engine.host.restarts == 0


def test_many_bodies_whose_callers_have_gone(start: Start) -> None:
    gone = threading.Event()
    engine = start(SCRIPT, options=EngineOptions(grace_s=30, wanted=lambda: not gone.is_set()))
    engine.host.depth = 4  # the last ones are not with the host yet
    timer = threading.Timer(0.2, gone.set)
    timer.start()
    with pytest.raises(Unavailable, match="was cancelled"):
        engine.run({"data": np.array([b"good", b"sleep", b"good", b"good", b"good"], object)}, ["result"])
    timer.join()
    gone.clear()
    assert engine.run({"data": np.array([b"good"], object)}, ["result"])[0].tolist() == [b'"good"']


@pytest.mark.parametrize("wait", ["time.sleep(600)", "[None for _ in iter(int, 1)]"])
def test_a_step_of_one_that_yields_is_stopped_and_the_other_streams_go_on(start: Start, wait: str) -> None:
    engine = start(
        f"""
        import time
        def infer(inputs):
            n = int(inputs["n"][0])
            yield {{"i": [n]}}
            if n == 1:
                {wait}
            yield {{"i": [n + 1]}}
        """,
        contract="tensors", signature=SIGNATURE, decoupled=True, options=EngineOptions(grace_s=30),
    )  # fmt: skip

    async def test() -> None:
        async with aclosing(engine.stream({"n": np.array([1])}, ["i"])) as slow:
            await anext(slow)
            other = engine.stream({"n": np.array([5])}, ["i"])
            waiting = asyncio.ensure_future(anext(other))
            await asyncio.wait([waiting], timeout=0.2)
        assert [(await waiting)[0].tolist(), (await anext(other))[0].tolist()] == [[5], [6]]
        await other.aclose()
        engine.host.detach()

    asyncio.run(asyncio.wait_for(test(), 20))
    assert engine.host.restarts == 0


def test_an_async_script_is_not_killed_while_another_request_is_under_way(start: Start) -> None:
    engine = start(
        """
        import asyncio
        from pathlib import Path
        here = Path(__file__).parent
        def init(): pass
        async def run(data):
            (here / "begun").touch()
            while data == "deaf" or not (here / "go").exists():
                try:
                    await asyncio.sleep(0.05)
                except asyncio.CancelledError:
                    pass
            return data
        """,
        options=EngineOptions(grace_s=0.3),
    )
    bad, _ = begin(engine, b"deaf")
    _, found = begin(engine, b"good")
    engine.host.cancel(bad)
    threading.Event().wait(1.0)  # three times the grace
    assert engine.host.restarts == 0
    (folder(engine) / "go").touch()
    wait_for(engine, lambda: bool(found))
    assert found[-1].body == b'"good"'
    until(lambda: engine.host.restarts == 1)  # nobody else is there now
