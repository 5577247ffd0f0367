"""The log's two forms, and how a worker's lines are told from another's."""

from __future__ import annotations

import json
import subprocess
import sys

SAY = """
import logging
from gantline.settings import ServeSettings
from gantline.serve.process.log import set_up_log
set_up_log(ServeSettings(log_format={form!r}), {worker})
logging.getLogger("gantline.x").info("quiet")
logging.getLogger("gantline.x").info("tab\\there \\x1b[2J\\r\\n2026-01-01 00:00:00,000 INFO forged \\x85\\u2028")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("gantline.x").exception("loud")
"""


def said(form: str, worker: int) -> list[str]:
    code = SAY.format(form=form, worker=worker)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stderr.splitlines()


def test_text() -> None:
    alone, second = said("text", 0), said("text", 2)
    assert alone[0].endswith(" INFO gantline.x: quiet") and alone[-1] == "  ZeroDivisionError: division by zero"
    assert second[0].endswith(" INFO [worker 2] gantline.x: quiet")
    assert alone[1].endswith(" INFO gantline.x: tab\there \\x1b[2J\\x0d")
    assert alone[2] == "  2026-01-01 00:00:00,000 INFO forged \\x85\\u2028"


def test_json() -> None:
    alone, second = ([json.loads(line) for line in said("json", worker)] for worker in (0, 2))
    assert [(a["level"], a["message"], "worker" in a) for a in alone] == [
        ("info", "quiet", False),
        ("info", "tab\there \x1b[2J\r\n2026-01-01 00:00:00,000 INFO forged \x85\u2028", False),
        ("error", "loud", False),
    ]
    assert second[2]["worker"] == 2 and "ZeroDivisionError" in second[2]["exception"]
