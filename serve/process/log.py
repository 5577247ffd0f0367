"""Log: where it goes and in what form, before anything is said."""

from __future__ import annotations

import json
import logging
import sys
from typing import Final

from gantline.settings import ServeSettings

# control characters, C0 and C1, and the two that Unicode ends lines with; but for tabs
_CONTROLS = [*range(9), *range(11, 32), *range(127, 160), 0x2028, 0x2029]
_PLAIN: Final = {code: f"\\x{code:02x}" if code < 256 else f"\\u{code:x}" for code in _CONTROLS} | {10: "\n  "}


def set_up_log(settings: ServeSettings, worker: int = 0) -> None:
    """Log to stderr in the form that the settings ask for; lines of one of several workers say which."""
    handler = logging.StreamHandler(sys.stderr)
    if settings.log_format == "json":
        handler.setFormatter(_JsonFormatter(worker))
    else:
        mark = f"[worker {worker}] " if worker else ""
        handler.setFormatter(_TextFormatter(f"%(asctime)s %(levelname)s {mark}%(name)s: %(message)s"))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


class _TextFormatter(logging.Formatter):
    """A line for each record, and indented ones for what else it has to say.

    Names, paths and what scripts raise come from clients: they must not look like records of ours, nor move a
    terminal's cursor.
    """

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).translate(_PLAIN)


class _JsonFormatter(logging.Formatter):
    def __init__(self, worker: int) -> None:
        super().__init__()
        self._worker = {"worker": worker} if worker else {}

    def format(self, record: logging.LogRecord) -> str:
        tree = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._worker,
        }
        if record.exc_info:
            tree["exception"] = self.formatException(record.exc_info)
        return json.dumps(tree)
