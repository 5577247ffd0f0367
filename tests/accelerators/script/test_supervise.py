"""Starting, failing to start, dying with the server, and starting again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from gantline.errors import BadArtefact, GantlineError, ScriptFailed, Unavailable

from .conftest import Start, ask, call
from .test_process import until


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("import no_such_module\n", ScriptFailed, r"score\.py line 1: module 'no_such_module' is not in the package's "
         r"environment; add it: .+ -m pip install no-such-module"),
        ("import neighbour\n", ScriptFailed, r"neighbour\.py line 2: module 'PIL_x' is not .+ pip install PIL-x"),
        ("x = 1\ndef init(): raise ValueError('no\\nweights')\ndef run(d): pass", ScriptFailed,
         r"score\.py line 2: ValueError: no weights; the log has the traceback"),
        ("def init(): import sys; sys.exit('bye')\ndef run(d): pass", ScriptFailed, r"line 1: SystemExit: bye"),
        ("def init(:\n", ScriptFailed, r"score\.py line 1: SyntaxError"),
        ("def run(d): pass", BadArtefact, r"does not define a function init\(\)"),
        ("def init(): pass", BadArtefact, r"does not define a function run\(\)"),
        ("def init(): pass\ndef run(*a): pass", BadArtefact, r"run\(\) cannot accept positional-only"),
        ("def init(): pass\ndef run(): pass", BadArtefact, r"run\(\) needs to accept an argument for input data"),
        ("def init(): pass\ndef run(request_headers): pass", BadArtefact, r'other than "request_headers"'),
        ("import os\ndef init(): os._exit(9)\ndef run(d): pass", ScriptFailed, r"while loading \(exit status 9\)"),
        ("import ctypes\ndef init(): ctypes.string_at(0)\ndef run(d): pass", ScriptFailed, r"signal SIGSEGV"),
    ],
)  # fmt: skip
def test_a_script_that_does_not_load_says_why_in_one_line(
    start: Start, text: str, kind: type[GantlineError], said: str
) -> None:
    with pytest.raises(kind, match=said) as caught:
        start(text, files={"code/neighbour.py": "\nimport PIL_x\n"})
    assert "\n" not in str(caught.value)


def test_the_traceback_goes_to_the_log(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ScriptFailed):
        start("def init(): raise KeyError('weights')\ndef run(d): pass")
    assert "[scripted] KeyError: 'weights'" in caplog.text and "line 1, in init" in caplog.text


def test_a_script_that_cannot_start_again_refuses_its_callers(start: Start, tmp_path: Path) -> None:
    mark = tmp_path / "started"
    engine = start(
        f"""
        import os
        def init():
            if os.path.exists({str(mark)!r}):
                raise RuntimeError("only once")
            open({str(mark)!r}, "w").close()
        def run(data):
            os._exit(1)
        """
    )
    ask(engine, b"x")
    waiting, found = call(b"y")
    try:
        engine.host.submit(waiting)
        until(lambda: bool(found))
        assert found[-1].status == 503 and b"is being restarted" in found[-1].body
    except Unavailable as e:
        assert "is being restarted" in str(e)
    until(lambda: engine.host.restarts > 1)  # it goes on trying
    mark.unlink()
    until(lambda: engine.host.pid is not None)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a host ends with its next answer")
def test_the_host_and_what_it_started_die_with_the_server(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    script = """
        import subprocess
        from pathlib import Path
        def init():
            child = subprocess.Popen(["sleep", "300"])
            Path(__file__).with_name("child").write_text(str(child.pid))
        def run(d):
            while True: pass  # busy: it will not look at its socket
    """
    (tmp_path / "code" / "score.py").write_text(textwrap.dedent(script))
    program = """
        import os, sys, time
        from pathlib import Path
        from gantline.accelerators.engine import EngineOptions
        from gantline.accelerators.script.engine import load
        from gantline.accelerators.script.link import Call
        from gantline.manifest import Manifest, ScriptInfo
        from gantline.packages import Package
        manifest = Manifest(name="m", engine="script", script=ScriptInfo("score.py"))
        engine = load(Package(Path(sys.argv[1]), manifest, None), EngineOptions())
        engine.host.submit(Call(1, b"x", print))
        print(engine.host.pid, flush=True)
        time.sleep(600)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        pid = int(server.stdout.readline())
        child = int((tmp_path / "code" / "child").read_text())
        assert _runs(pid) and _runs(child)
        server.send_signal(signal.SIGKILL)
        server.wait(10)
    until(lambda: not _runs(pid) and not _runs(child))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
