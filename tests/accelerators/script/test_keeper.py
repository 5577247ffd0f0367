"""One host for several: real keepers, real hosts; who shares is an engine each, or a process that is killed."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest
from gantline.accelerators.engine import EngineOptions
from gantline.accelerators.script import channel as ch
from gantline.accelerators.script.channel import AHEAD
from gantline.accelerators.script.engine import ScriptEngine, load

from gantline.errors import BadArtefact, DeadlineExceeded, ScriptFailed
from gantline.manifest import Manifest, ScriptInfo
from gantline.packages import Package
from gantline.signature import Signature, TensorSpec

from .conftest import Talk, ask, call
from .test_process import until

WHO = "import os\ndef init(): print('loaded once')\ndef run(data): return [os.getpid(), data]"
SIGNATURE = Signature((TensorSpec("n", "INT64", (1,)),), (TensorSpec("i", "INT64", (1,)),))
Join = Callable[..., ScriptEngine]


@pytest.fixture
def join(tmp_path: Path) -> Iterator[Join]:
    """join(text, **) -> an engine on the host of this text, which all who give the same share."""
    engines: list[ScriptEngine] = []

    def joining(
        text: str, *, signature: Signature | None = None, timeout_s: float = 0.0, **script: object
    ) -> ScriptEngine:
        root = tmp_path / f"package{abs(hash(text))}"
        (root / "code").mkdir(parents=True, exist_ok=True)
        (root / "code" / "score.py").write_text(textwrap.dedent(text))
        contract = "azure" if signature is None else "tensors"
        info = ScriptInfo("score.py", contract=contract, **script)  # type: ignore[arg-type]  # whatever a test asks for
        manifest = Manifest(name="scripted", engine="script", script=info, signature=signature)
        engine = load(Package(root, manifest, None), EngineOptions(timeout_s=timeout_s, shared=tmp_path))
        engines.append(engine)
        return engine

    yield joining
    for engine in engines:
        engine.close()


def keepers(folder: Path) -> list[Path]:
    return [p for p in folder.glob("script-*") if p.suffix != ".lock"]


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def pid_of(engine: ScriptEngine) -> int:
    return int(json.loads(ask(engine, b"who")[0].body)[0])


def test_one_host_answers_all_and_ends_with_the_last(join: Join, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        engines = list(pool.map(join, [WHO] * 4))
    pids = {pid_of(engine) for engine in engines}
    assert len(pids) == 1 and len(keepers(tmp_path)) == 1
    host = pids.pop()
    until(lambda: [e.host.pid for e in engines].count(host) == 1)  # it counts once
    for engine in engines[:3]:
        engine.close()
        assert pid_of(engines[3]) == host
    until(lambda: engines[3].host.pid == host)
    engines[3].close()
    until(lambda: not Path(f"/proc/{host}").exists())
    assert keepers(tmp_path) == []
    other = join(WHO)
    assert pid_of(other) != host


def test_what_differs_is_not_shared(join: Join, tmp_path: Path) -> None:
    assert pid_of(join(WHO)) != pid_of(join(WHO + "\n"))
    assert pid_of(join(WHO)) != pid_of(join(WHO, timeout_s=5.0))
    assert len(keepers(tmp_path)) == 3


def test_answers_reach_those_who_asked(join: Join) -> None:
    text = "def init(): pass\ndef run(data): return data"
    engines = [join(text) for _ in range(3)]
    wrong: list[bytes] = []

    def many(n: int) -> None:
        bodies = [b"%d/%d" % (n, i) for i in range(300)] + [bytes([97 + n]) * size for size in (ch.INLINE, 3 << 20)]
        for body, message in zip(bodies, ask(engines[n], *bodies), strict=True):
            wrong.extend([message.body[:40]] if message.body != b'"%s"' % body else [])

    threads = [threading.Thread(target=many, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


def test_tensors_through_a_keeper(join: Join) -> None:
    text = "def infer(inputs): return {'i': inputs['n'] * 2}"
    for engine in (join(text, signature=SIGNATURE), join(text, signature=SIGNATURE)):
        assert engine.run({"n": np.array([21])}, ["i"])[0].tolist() == [42]
    with pytest.raises(ScriptFailed, match="did not answer output 'j'"):
        engine.run({"n": np.array([21])}, ["j"])


def test_a_script_that_yields_serves_streams_of_several(join: Join, tmp_path: Path) -> None:
    text = f"""
        def infer(inputs):
            n = int(inputs["n"][0])
            made = open({str(tmp_path)!r} + f"/made{{n}}", "w", buffering=1)
            try:
                for i in range(10 ** 9 if n else 5):
                    made.write(f"{{i}}\\n")
                    yield {{"i": [i]}}
            finally:
                made.write("closed\\n")
    """
    first, second = (join(text, signature=SIGNATURE, decoupled=True) for _ in range(2))

    async def main() -> None:
        async with aclosing(first.stream({"n": np.array([1])}, ["i"])) as slow:
            await anext(slow)
            async with aclosing(second.stream({"n": np.array([2])}, ["i"])) as fast:
                for i in range(5 * AHEAD):
                    assert (await anext(fast))[0].tolist() == [i]
            assert [a[0].tolist() async for a in second.stream({"n": np.array([0])}, ["i"])] == [[i] for i in range(5)]
            assert len((tmp_path / "made1").read_text().splitlines()) <= AHEAD
            for i in range(1, 3 * AHEAD):
                assert (await anext(slow))[0].tolist() == [i]
        async with asyncio.timeout(20):
            for n in (1, 2):
                while "closed" not in (tmp_path / f"made{n}").read_text():  # noqa: ASYNC110  # another process writes
                    await asyncio.sleep(0.01)
        first.host.detach()
        second.host.detach()

    asyncio.run(main())


def test_streams_of_run_and_calls_from_loops(join: Join) -> None:
    text = """
        def init(): pass
        def run(data):
            return (b"x" * 100_000 for _ in range(30)) if data == "stream" else data
    """
    first, second = join(text), join(text)

    async def main() -> None:
        talks = [Talk(first, b"stream"), Talk(second, b"stream"), Talk(second, b"plain")]
        one, two, three = [await talk.rest() for talk in talks]
        assert three[-1].body == b'"plain"'
        for found in (one, two):
            assert sum(len(m.body) for m in found if m.kind == ch.CHUNK) == 3_000_000 and found[-1].kind == ch.END
        first.host.detach()
        second.host.detach()

    asyncio.run(main())


def test_a_host_that_dies_fails_what_it_had_begun_and_is_started_again_for_all(
    join: Join, caplog: pytest.LogCaptureFixture
) -> None:
    text = "import os\ndef init(): pass\ndef run(data): return os._exit(5) if data == 'die' else data"
    first, second = join(text), join(text)
    with caplog.at_level(logging.INFO):
        bad, *good = ask(first, b"die", b"a", b"b")
        assert bad.kind == ch.BROKEN and bad.flags & ch.DIED and bad.status == 500
        assert [m.body for m in (*good, *ask(second, b"c"))] == [b'"a"', b'"b"', b'"c"']
        until(lambda: first.host.restarts + second.host.restarts == 1)
        until(lambda: "process ended (exit status 5); 1 requests failed" in caplog.text)
    assert caplog.text.count("process ended (exit status 5)") == 1


def test_what_is_printed_is_logged_once(join: Join, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        first, second = join(WHO), join(WHO)
        assert pid_of(first) == pid_of(second)
        until(lambda: "[scripted] loaded once" in caplog.text)
    assert caplog.text.count("loaded once") == 1
    assert "[scripted] loaded once" in [record.getMessage() for record in caplog.records]


def test_the_servers_say_when_to_end_and_no_signal(join: Join) -> None:
    engine = join(WHO)
    host = pid_of(engine)
    for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        for pid in (parent_of(host), host):
            os.kill(pid, one)
        assert pid_of(engine) == host


def test_a_call_that_takes_too_long_is_ended_by_the_keeper_while_others_wait(join: Join) -> None:
    text = "import time\ndef init(): pass\ndef run(d): return time.sleep(60) if d == 's' else d"
    first, second = join(text, timeout_s=0.5), join(text, timeout_s=0.5)
    slow, found = call(b"s")
    first.host.submit(slow)
    assert ask(second, b"x")[0].body == b'"x"'
    first.host.run([call(b"after")[0]])
    assert found[-1].flags & ch.TIMED_OUT
    with pytest.raises(DeadlineExceeded):
        first.run({"data": np.array([b"s"], object)}, ["result"])


def test_a_keeper_that_is_killed_is_replaced(join: Join, tmp_path: Path) -> None:
    first, second = join(WHO), join(WHO)
    host = pid_of(first)
    os.kill(parent_of(host), signal.SIGKILL)
    until(lambda: not Path(f"/proc/{host}").exists())
    until(lambda: first.host.restarts >= 1 and second.host.restarts >= 1)
    until(lambda: first.host.link is not None and second.host.link is not None)
    assert pid_of(first) == pid_of(second) != host


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("import no_such_module", ScriptFailed, "module 'no_such_module' is not in the package's environment"),
        ("def init(): raise ValueError('no weights')\ndef run(d): pass", ScriptFailed, "ValueError: no weights"),
        ("def init(): pass", BadArtefact, r"does not define a function run\(\)"),
    ],
)
def test_a_script_that_does_not_load(
    join: Join, tmp_path: Path, text: str, error: type[Exception], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        with pytest.raises(error, match=words):
            join(text)
    assert caplog.text.count("Traceback (most recent call last)") == 2
    until(lambda: keepers(tmp_path) == [])


def test_who_is_killed_costs_the_others_nothing_and_its_calls_are_dropped(join: Join, tmp_path: Path) -> None:
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    os.mkfifo(gate)
    text = f"""
        import os
        from pathlib import Path
        def init(): pass
        def run(data):
            if data == "wait":
                Path({str(begun)!r}).touch()
                open({str(gate)!r}).read()
            if data == "never":
                Path({str(tmp_path / "never")!r}).touch()
            return os.getpid()
    """
    engine = join(text)
    host = int(ask(engine, b"")[0].body)
    files = Path(f"/proc/{parent_of(host)}/fd")
    alone = len(list(files.iterdir()))
    program = f"""
        from pathlib import Path
        from gantline.accelerators.engine import EngineOptions
        from gantline.accelerators.script import channel as ch
        from gantline.accelerators.script.engine import load
        from gantline.accelerators.script.link import Call
        from gantline.manifest import Manifest, ScriptInfo
        from gantline.packages import Package
        root = Path({str(tmp_path / f"package{abs(hash(text))}")!r})
        manifest = Manifest(name="scripted", engine="script", script=ScriptInfo("score.py"))
        engine = load(Package(root, manifest, None), EngineOptions(shared=Path({str(tmp_path)!r})))
        engine.host.run([Call(ch.SCORE, b"", lambda m: print(m.body.decode(), flush=True), direct=True)])
        calls = [Call(ch.SCORE, body, lambda m: None, direct=True) for body in (b"wait", b"never")]
        engine.host.run(calls)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    # (readline, in this process, has put the size of the window into what a child would get otherwise)
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=dict(os.environ)) as other:
        try:
            assert other.stdout is not None
            assert int(other.stdout.readline()) == host
            until(begun.exists)
        finally:
            other.kill()
    until(lambda: len(list(files.iterdir())) == alone)  # it has been noticed
    gate.open("w").close()
    assert ask(engine, b"", b"")[1].body == b"%d" % host
    assert not (tmp_path / "never").exists()
