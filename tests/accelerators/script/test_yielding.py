"""Scripts that yield, in real hosts: answers as they come, side by side, no faster than they are taken, and stopped."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from gantline.accelerators.script.channel import AHEAD
from gantline.accelerators.script.engine import ScriptEngine

from gantline.errors import BadArtefact, DeadlineExceeded, GantlineError, ScriptFailed, Unsupported
from gantline.signature import Signature, TensorSpec

T = TypeVar("T")
SIGNATURE = Signature((TensorSpec("n", "INT64", (1,)),), (TensorSpec("i", "INT64", (1,)),))
COUNT = """
    import numpy as np
    def infer(inputs):
        for i in range(int(inputs["n"][0])):
            yield {"i": np.array([i])}
"""
# tells a file what it does; goes on for ever
TELLING = """
    import numpy as np
    from pathlib import Path
    MAX_STREAMS = {most}
    log = Path(__file__).with_name("log").open("a", buffering=1)
    {async_}def infer(inputs):
        n = int(inputs["n"][0])
        log.write(f"begin {{n}}\\n")
        try:
            i = 0
            while True:
                {pause}
                log.write(f"make {{n}} {{i}}\\n")
                yield {{"i": np.array([i])}}
                i += 1
        finally:
            log.write(f"close {{n}}\\n")
"""
SYNC = {"async_": "", "pause": "pass", "most": 16}
ASYNC = {"async_": "async ", "pause": "import asyncio; await asyncio.sleep(0)", "most": 16}
BOTH = pytest.mark.parametrize("kind", [SYNC, ASYNC], ids=["plain", "async"])


@pytest.fixture
def begin(start: Callable[..., ScriptEngine]) -> Callable[..., ScriptEngine]:
    def starting(text: str, **more: Any) -> ScriptEngine:
        return start(text, contract="tensors", signature=SIGNATURE, decoupled=True, **more)

    return starting


def ask(engine: ScriptEngine, n: int = 0) -> AsyncGenerator[list[Any], None]:
    return engine.stream({"n": np.array([n])}, ["i"])


async def numbers(engine: ScriptEngine, n: int) -> list[int]:
    return [int(answer[0][0]) async for answer in ask(engine, n)]


def run(engine: ScriptEngine, test: Callable[[], Awaitable[T]]) -> T:
    async def main() -> T:
        try:
            return await asyncio.wait_for(test(), 30)
        finally:
            engine.host.detach()

    return asyncio.run(main())


def told(engine: ScriptEngine) -> list[str]:
    return Path(engine.host._supervisor._launch.config["entry"]).with_name("log").read_text().splitlines()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # another process writes what is looked at
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("prefix", ["", "async "])
def test_each_request_gets_its_answers(begin: Callable[..., ScriptEngine], prefix: str) -> None:
    engine = begin(COUNT.replace("def infer", prefix + "def infer"))
    assert engine.host.info["decoupled"]

    async def test() -> list[list[int]]:
        return await asyncio.gather(*(numbers(engine, n) for n in (0, 1, 5, 200, 3)))

    assert run(engine, test) == [list(range(n)) for n in (0, 1, 5, 200, 3)]
    assert engine.host.in_flight == 0


def test_answers_of_any_size(begin: Callable[..., ScriptEngine]) -> None:
    engine = begin("""
        import numpy as np
        def infer(inputs):
            for size in (0, 1, 100_000, 3_000_000):
                yield {"i": np.arange(size), "more": np.array(["x"])}
    """)

    async def test() -> list[int]:
        return [len(answer[0]) async for answer in ask(engine)]

    assert run(engine, test) == [0, 1, 100_000, 3_000_000]


@BOTH
def test_a_client_that_takes_nothing_stops_the_script_and_nobody_else(
    begin: Callable[..., ScriptEngine], kind: dict[str, Any]
) -> None:
    engine = begin(TELLING.format(**kind))

    async def test() -> None:
        async with aclosing(ask(engine, 1)) as slow, aclosing(ask(engine, 2)) as fast:
            await anext(slow)
            for i in range(5 * AHEAD):
                assert (await anext(fast))[0][0] == i
            made = sum(line.startswith("make 1") for line in told(engine))
            assert made <= AHEAD, "it is no further ahead than this"
            for i in range(1, 3 * AHEAD):  # and goes on when they are taken
                assert (await anext(slow))[0][0] == i

    run(engine, test)


@BOTH
def test_a_client_that_leaves_closes_the_generator(begin: Callable[..., ScriptEngine], kind: dict[str, Any]) -> None:
    engine = begin(TELLING.format(**kind))

    async def test() -> None:
        async with aclosing(ask(engine, 7)) as answers:
            await anext(answers)
        await until(lambda: "close 7" in told(engine))
        await until(lambda: engine.host.in_flight == 0)

    run(engine, test)
    assert engine.host.restarts == 0


@BOTH
def test_no_more_side_by_side_than_the_script_says(begin: Callable[..., ScriptEngine], kind: dict[str, Any]) -> None:
    engine = begin(TELLING.format(**kind | {"most": 1}))

    async def test() -> None:
        first = ask(engine, 1)
        await anext(first)
        others = [ask(engine, n) for n in (2, 3)]
        waiting = [asyncio.ensure_future(anext(other)) for other in others]
        await anext(first)
        assert not any(line.startswith("begin") for line in told(engine)[1:])
        waiting[0].cancel()  # one that has not begun never does
        await asyncio.wait([waiting[0]])
        await first.aclose()
        assert (await waiting[1])[0][0] == 0
        assert [line for line in told(engine) if not line.startswith("make")] == ["begin 1", "close 1", "begin 3"]
        await others[1].aclose()

    run(engine, test)


@pytest.mark.parametrize(
    ("body", "error", "words"),
    [
        ("raise ValueError('secret')", ScriptFailed, "failed; the log has the traceback"),
        ("yield [1]", ScriptFailed, "yielded list; each answer is a dictionary"),
        ("yield {'i': [1j]}", ScriptFailed, r"output 'i' is INT64, but infer\(\) yielded complex128"),
        ("yield {'other': 1}", ScriptFailed, "did not answer output 'i'"),
        ("import time\n        time.sleep(30)", DeadlineExceeded, "timeout after 300 ms"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "async "])
def test_what_goes_wrong_in_the_middle_of_a_stream(
    begin: Callable[..., ScriptEngine], prefix: str, body: str, error: type[GantlineError], words: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    if prefix:
        body = body.replace("import time\n        time.sleep(30)", "import asyncio\n        await asyncio.sleep(30)")
    text = f"{prefix}def infer(inputs):\n    yield {{'i': [0]}}\n    if inputs['n'][0]:\n        {body}\n"
    engine = begin(text, timeout_s=0.3)

    async def test() -> None:
        answers = ask(engine, 1)
        assert (await anext(answers))[0].tolist() == [0]
        with pytest.raises(error, match=words):
            await anext(answers)
        assert await numbers(engine, 0) == [0], "the host goes on"
        if "secret" in body:
            await until(lambda: "secret" in caplog.text)

    with caplog.at_level(logging.INFO):
        run(engine, test)
    assert engine.host.restarts == 0


def test_a_host_that_hangs_in_one_stream_is_killed_though_another_waits_for_its_client(
    begin: Callable[..., ScriptEngine],
) -> None:
    engine = begin(
        """
        import signal
        def infer(inputs):
            yield {"i": [0]}
            if inputs["n"][0]:
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
                while True: pass
            while True:
                yield {"i": [0]}
        """,
        timeout_s=0.3,
    )

    async def test() -> None:
        slow, hangs = ask(engine, 0), ask(engine, 1)
        await anext(slow)
        await anext(hangs)
        with pytest.raises(DeadlineExceeded):
            await anext(hangs)
        with pytest.raises(DeadlineExceeded):
            async for _ in slow:
                pass

    run(engine, test)


def test_a_client_that_takes_nothing_for_too_long_is_given_up(begin: Callable[..., ScriptEngine]) -> None:
    engine = begin(TELLING.format(**SYNC), timeout_s=0.3)

    async def test() -> None:
        answers = ask(engine, 1)
        await anext(answers)
        await until(lambda: "close 1" in told(engine))
        with pytest.raises(DeadlineExceeded):
            async for _ in answers:
                pass
        assert engine.host.restarts == 0

    run(engine, test)


def test_run_is_not_for_them_and_the_manifest_must_agree(start: Callable[..., ScriptEngine]) -> None:
    engine = start(COUNT, contract="tensors", signature=SIGNATURE, decoupled=True)
    with pytest.raises(Unsupported, match="asked by a stream"):
        engine.run({"n": np.array([1])}, ["i"])
    for text, said in ((COUNT, False), ("def infer(inputs): return {'i': [0]}", True)):
        with pytest.raises(BadArtefact, match="package again"):
            start(text, contract="tensors", signature=SIGNATURE, decoupled=said)
    with pytest.raises(BadArtefact, match="MAX_STREAMS is 0"):
        start(
            "MAX_STREAMS = 0\n" + "def infer(inputs): yield {}", contract="tensors", signature=SIGNATURE, decoupled=True
        )


def test_infer_may_be_async_without_yielding(start: Callable[..., ScriptEngine]) -> None:
    text = "async def infer(inputs): return {'i': inputs['n'] + 1}"
    engine = start(text, contract="tensors", signature=SIGNATURE)
    assert engine.run({"n": np.array([1])}, ["i"])[0].tolist() == [2]
