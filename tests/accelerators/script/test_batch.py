"""run_batch(list): what waits is answered together, and who is bad is bad alone."""

from __future__ import annotations

import json
from pathlib import Path

from gantline.accelerators.engine import EngineOptions
from gantline.accelerators.script import channel as ch

from .conftest import Start, ask, call
from .test_process import until

SCRIPT = """
    import json, time
    from pathlib import Path
    here = Path(__file__).parent
    def init():
        global calls
        calls = []
    def run_batch(items):
        calls.append(len(items))
        if items == ["calls"]:
            return [calls]
        if items == ["begin"]:
            here.joinpath("begun").touch()
            while not here.joinpath("go").exists():
                time.sleep(0.001)
        if "short" in items:
            return items[1:]
        if "slow" in items:
            time.sleep(60)
        return [i if i == "begin" else json.loads(i) * 2 for i in items]
"""


def test_what_waits_is_one_call_and_answers_are_in_order(start: Start) -> None:
    engine = start(SCRIPT)
    here = Path(engine.host._supervisor._launch.config["code"])
    pairs = [call(b"begin")]
    engine.host.submit(pairs[0][0])
    until((here / "begun").exists)
    pairs += [call(b"%d" % i) for i in range(200)]
    for one, _ in pairs[1:]:
        engine.host.submit(one)
    (here / "go").touch()
    assert ask(engine, b"7")[0].body == b"14"  # and the others before it
    calls = json.loads(ask(engine, b"calls")[0].body)
    assert [found[-1].body for _, found in pairs[1:]] == [b"%d" % (2 * i) for i in range(200)]
    assert sum(calls) == 203 and len(calls) < 20


def test_a_bad_item_fails_alone(start: Start) -> None:
    engine = start(SCRIPT)
    found = ask(engine, *[b"bad" if i in (7, 30) else b"%d" % i for i in range(40)], b"\xff")
    assert [m.status for m in found[:40]] == [500 if i in (7, 30) else 200 for i in range(40)]
    assert [m.body for m in found[:40] if m.status == 200] == [b"%d" % (2 * i) for i in range(40) if i not in (7, 30)]
    assert found[40].status == 400 and b"UTF-8" in found[40].body


def test_answers_of_another_length_are_an_error(start: Start) -> None:
    assert ask(start(SCRIPT), b"short")[0].flags == ch.RUN_FAILED


def test_the_time_limit_holds(start: Start) -> None:
    engine = start(SCRIPT, options=EngineOptions(timeout_s=0.2))
    assert ask(engine, b"slow")[0].flags & ch.TIMED_OUT
    assert ask(engine, b"4")[0].body == b"8"


def test_run_batch_may_be_async_and_answers_get_queries_too(start: Start, tmp_path: Path) -> None:
    engine = start("def init(): pass\nasync def run_batch(items): return items")
    one, found = call(b"", status=1, meta=b"/score\na=1")
    engine.host.run([one])
    assert found[-1].body == json.dumps('{"a": 1}').encode()
