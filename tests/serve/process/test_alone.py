"""A server in one process: in which order it begins."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from gantline.manifest import Manifest, ScriptInfo
from gantline.packages import seal

# what only answers need; the models' opening is not to wait for it
LATER = (
    "asyncio",
    "uvicorn",
    "starlette.applications",
    "gantline.serve.app",
    "gantline.serve.core",
    "gantline.serve.model",
)
CODE = f"""
import sys
import gantline.cli.serve
from gantline.serve.process import alone
from gantline.settings import ServeSettings, resolve
class Watched(alone.HeadStart):
    def begin(self, entries):
        super().begin(entries)
        print([name for name in {LATER} if name in sys.modules], self)
    def take(self, entry):
        found = super().take(entry)
        print("taken", found.result().session.package.name)
        raise SystemExit(0)
alone.HeadStart = Watched
alone.serve(resolve(ServeSettings, {{"http_port": "0", "no_grpc": "true"}}, {{}}), sys.argv[1:], True)
"""


def test_models_are_being_opened_before_what_answers_is_imported(zoo: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, zoo / "double.onnx"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.splitlines()[:2] == ["[] <HeadStart ['double:1']>", "taken double"], done.stdout + done.stderr


def test_it_ends_while_a_script_is_loaded_for_ever(tmp_path: Path) -> None:
    (tmp_path / "s.pkg" / "code").mkdir(parents=True)
    os.mkfifo(tmp_path / "loading")
    code = (
        f"def init():\n    open({str(tmp_path / 'loading')!r}, 'w').close()\n    while True: ...\ndef run(data): ...\n"
    )
    (tmp_path / "s.pkg" / "code" / "score.py").write_text(code)
    package = seal(tmp_path / "s.pkg", Manifest("s", "script", script=ScriptInfo("score.py")), {})
    words = [sys.executable, "-m", "gantline", "serve", str(package.path), "--http-port", "0", "--no-grpc"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        (tmp_path / "loading").read_text()  # until init() has begun
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGTERM), "the latter before it listens"
