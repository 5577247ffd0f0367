"""A server in one process: in which order it begins."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
