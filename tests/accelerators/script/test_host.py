"""The host: what a script answers, streams, and how it is loaded."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from gantline.accelerators.script import channel as ch
from gantline.accelerators.script.channel import WINDOW
from gantline.accelerators.script.host import IMPORTING
from gantline.accelerators.script.ring import Message

from .conftest import Start, Talk, ask

STREAMS = """
    import sys
    def init():
        pass
    def run(data):
        if data == "plain":
            return "plain"
        return STREAMS[data]()
    def words():
        yield "one "
        yield b"two "
    def numbers():
        yield {"n": 1}
        yield [2]
    def nothing():
        return
        yield
    def late():
        yield "begun"
        raise ValueError("late")
    def early():
        raise ValueError("early")
        yield
    def endless():
        try:
            while True:
                yield "x" * 10_000
        finally:
            print("the generator was closed")
    STREAMS = {f.__name__: f for f in (words, numbers, nothing, late, early, endless)}
"""


@pytest.mark.parametrize(
    ("which", "kind", "chunks"),
    [
        (b"words", b"Content-Type:text/plain; charset=utf-8", [b"one ", b"two "]),
        (b"numbers", b"Content-Type:application/x-ndjson", [b'{"n": 1}\n', b"[2]\n"]),
        (b"nothing", b"Content-Type:application/octet-stream", []),
    ],
)
def test_what_is_yielded_is_streamed(start: Start, which: bytes, kind: bytes, chunks: list[bytes]) -> None:
    engine = start(STREAMS)

    async def main() -> None:
        first, *middle, last = await Talk(engine, which).rest()
        assert (first.kind, first.status, first.meta) == (ch.START, 200, kind)
        assert [m.body for m in middle] == chunks
        assert last.kind == ch.END and last.flags == 0
        (after,) = await Talk(engine, b"plain").rest()
        assert after.body == b'"plain"'

    asyncio.run(main())


def test_a_stream_that_fails_breaks_off_or_is_an_error_before_it_began(start: Start) -> None:
    engine = start(STREAMS)

    async def main() -> None:
        assert [m.kind for m in await Talk(engine, b"late").rest()] == [ch.START, ch.CHUNK, ch.BROKEN]
        (error,) = await Talk(engine, b"early").rest()
        assert (error.kind, error.status, error.flags) == (ch.REPLY, 500, ch.RUN_FAILED)

    asyncio.run(main())


def test_a_stream_waits_for_its_client_and_ends_when_that_leaves(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "gantline.script")
    engine = start(STREAMS)

    async def main() -> None:
        talk = Talk(engine, b"endless")
        sent = 0
        while sent <= WINDOW - 10_000:  # so much without a word from us, and no more
            sent += len((await asyncio.wait_for(talk.messages.get(), 20)).body)
        waiting = Talk(engine, b"plain")
        await asyncio.sleep(0.05)
        assert sum(len(m.body) for m in _now(talk)) + sent <= WINDOW + 10_000
        engine.host.cancel(talk.call)
        assert (await talk.rest())[-1].flags == ch.CANCELLED
        assert (await waiting.rest())[-1].body == b'"plain"'

    asyncio.run(main())
    engine.close()
    assert "the generator was closed" in caplog.text


def _now(talk: Talk) -> list[Message]:
    return [talk.messages.get_nowait() for _ in range(talk.messages.qsize())]


def test_a_stream_is_one_body_for_the_engine(start: Start) -> None:
    import numpy as np

    engine = start(STREAMS)
    data = np.array([b"words"], object)
    assert engine.run({"data": data}, ["result"])[0].tolist() == [b"one two "]


def test_values_beyond_json(start: Start) -> None:
    engine = start(
        """
        import dataclasses, datetime
        import numpy as np
        @dataclasses.dataclass
        class Point:
            x: "float"
            at: "datetime.date"
        def init():
            pass
        def run(data):
            point = Point(1.5, datetime.date(2024, 1, 2))
            return {"array": np.arange(4.0).reshape(2, 2), "scalar": np.int64(3), "point": point}
        """
    )
    (m,) = ask(engine, b"")
    assert json.loads(m.body) == {
        "array": [[0.0, 1.0], [2.0, 3.0]], "scalar": 3, "point": {"x": 1.5, "at": "2024-01-02"},
    }  # fmt: skip


def test_a_script_finds_itself_its_models_and_its_folder(start: Start) -> None:
    engine = start(
        """
        import os, neighbour
        from azureml.core.model import Model
        def init():
            pass
        def run(data):
            models = os.environ["AZUREML_MODEL_DIR"]
            return [neighbour.WORD, open(os.path.join(models, "m.txt")).read(), open(Model.get_model_path("m")).read(),
                    os.path.samefile(os.getcwd(), os.environ["AML_APP_ROOT"]), os.listdir(".")]
        """,
        files={"code/neighbour.py": "WORD = 'beside'", "models/m.txt": "weights"},
        models="models",
    )
    (m,) = ask(engine, b"")
    # nothing was written into the package: no __pycache__
    assert json.loads(m.body)[:4] == ["beside", "weights", "weights", True]
    assert sorted(json.loads(m.body)[4]) == ["neighbour.py", "score.py"]


def test_a_module_missed_while_running_is_said_in_the_log(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "gantline.script")
    engine = start("def init(): pass\ndef run(data): import no_such_module")
    assert ask(engine, b"")[0].status == 500
    engine.close()
    assert "module 'no_such_module' is not in the package's environment" in caplog.text
    assert 'score.py", line 2, in run' in caplog.text


@pytest.mark.parametrize("own", [None, [5, 6, 7]])
def test_rubbish_is_looked_for_seldom_while_it_loads(start: Start, own: list[int] | None) -> None:
    """Imports leave little of it; then as often as Python does, or as the script says."""
    code = f"""
        import gc
        loading = gc.get_threshold()
        def init():
            gc.set_threshold(*{own} or gc.get_threshold())
        def run(data):
            return [loading, gc.get_threshold()]
    """
    loading, serving = json.loads(ask(start(code), b"1")[0].body)
    assert loading[0] == IMPORTING and (serving == own if own else serving[0] < IMPORTING)


def test_init_may_be_async(start: Start) -> None:
    engine = start("async def init():\n    global x\n    x = 5\ndef run(data): return x")
    assert ask(engine, b"")[0].body == b"5"


def test_a_sync_run_that_answers_an_awaitable_is_awaited(start: Start) -> None:
    engine = start("async def work(): return 6\ndef init(): pass\ndef run(data): return work()")
    assert ask(engine, b"")[0].body == b"6"


def test_a_script_may_write_to_descriptor_one(start: Start, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level("INFO", "gantline.script")
    engine = start("import os\ndef init(): pass\ndef run(data): os.write(1, b'raw\\n'); return os.write(2, b'two\\n')")
    assert ask(engine, b"")[0].body == b"4"
    engine.close()
    assert "[scripted] raw" in caplog.text and "[scripted] two" in caplog.text


def test_the_server_says_when_to_end_and_no_signal(start: Start) -> None:
    engine = start("""
        import os, signal, subprocess
        def init():
            pass
        def run(data):
            for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                os.kill(os.getpid(), one)
            child = os.fork()
            if not child:
                os.kill(os.getpid(), signal.SIGTERM)
                os._exit(3)
            copy = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            return [copy, subprocess.call(["sh", "-c", "kill -TERM $$"])]
    """)
    for _ in range(2):
        (answer,) = ask(engine, b"x")
        assert json.loads(answer.body) == [-15, -15], "what a script starts can be stopped as ever"
    assert engine.host.restarts == 0
