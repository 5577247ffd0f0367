"""LogSettings: what of Gantline's own log is written, changed while it serves (V2's logging extension).

The settings rule the loggers below `gantline`; what other libraries log is left alone.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from gantline.errors import BadRequest, Unsupported

from .control import Arguments, Control

DEFAULT, ISO8601 = "default", "ISO8601"
MAX_VERBOSE = 100
_SWITCHES = {"log_info": logging.INFO, "log_warning": logging.WARNING, "log_error": logging.ERROR}
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_NAME = "gantline"


class LogSettings(logging.Filter):
    """The settings, the verb that reads and changes them, and the filter that holds records to them.

    Nothing is touched until the first change, so that a program that embeds a server keeps its own logging.
    """

    def __init__(self, log_level: str, control: Control) -> None:
        super().__init__()
        least = _LEVELS[log_level]
        self._at_start: dict[str, Any] = {
            "log_file": "",
            **{key: level >= least for key, level in _SWITCHES.items()},
            "log_verbose_level": int(least <= logging.DEBUG),
            "log_format": DEFAULT,
        }
        self.values = dict(self._at_start)
        self._handlers: list[logging.Handler] = []
        control.register("log_settings", self._run, subject=_subject)

    async def _run(self, arguments: Arguments) -> dict[str, Any]:
        """update: settings to change, null for what was at the start; empty to look. All settings."""
        changed = dict(self.values)
        for key, value in arguments["update"].items():
            changed[key] = self._at_start.get(key) if value is None else value
            _check(key, changed[key], value)
        if changed != self.values:
            self.values = changed
            self._apply()
        return dict(self.values)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is written: its level's switch is on. It is called for each record of a root handler."""
        if not (record.name == _NAME or record.name.startswith(_NAME + ".")):
            return True
        if record.levelno < logging.INFO:
            return bool(self.values["log_verbose_level"])
        return self.values[  # type: ignore[no-any-return]  # checked to be a boolean
            "log_error" if record.levelno >= logging.ERROR
            else "log_warning" if record.levelno >= logging.WARNING
            else "log_info"
        ]  # fmt: skip

    def close(self) -> None:
        """Leave the process's logging as it was."""
        for handler in self._handlers:
            handler.removeFilter(self)
            _write_times(handler, DEFAULT)
        if self._handlers:
            logging.getLogger(_NAME).setLevel(logging.NOTSET)
        self._handlers = []

    def _apply(self) -> None:
        self._handlers = list(logging.getLogger().handlers)
        for handler in self._handlers:
            handler.addFilter(self)  # once: a handler knows its filters
            _write_times(handler, self.values["log_format"])
        # the logger stops what no switch lets through before it costs anything
        on = [level for key, level in _SWITCHES.items() if self.values[key]]
        least = logging.DEBUG if self.values["log_verbose_level"] else min(on, default=logging.CRITICAL)
        logging.getLogger(_NAME).setLevel(least)


def _check(key: str, value: Any, given: Any) -> None:
    """BadRequest for an unknown setting or a value that it cannot have; Unsupported for what cannot be changed."""
    if key == "log_file":
        if given:
            raise Unsupported("log_file cannot be changed: the log goes to standard error")
    elif key in _SWITCHES:
        if type(value) is not bool:
            raise BadRequest(f'log setting "{key}" must be true or false')
    elif key == "log_verbose_level":
        if type(value) is not int or not 0 <= value <= MAX_VERBOSE:
            raise BadRequest(f'log setting "{key}" must be a whole number from 0 to {MAX_VERBOSE}')
    elif key == "log_format":
        if value not in (DEFAULT, ISO8601):
            raise BadRequest(f'log setting "{key}" must be "{DEFAULT}" or "{ISO8601}"')
    else:
        known = ", ".join(["log_file", *_SWITCHES, "log_verbose_level", "log_format"])
        raise BadRequest(f"unknown log setting {key!r}; known: {known}")


def _write_times(handler: logging.Handler, form: str) -> None:
    """Local time with milliseconds as Python writes it, or UTC as ISO 8601 has it."""
    formatter: Any = handler.formatter
    if formatter is None:
        return
    if form == ISO8601:
        formatter.default_time_format, formatter.default_msec_format = "%Y-%m-%dT%H:%M:%SZ", None
        formatter.converter = time.gmtime
    else:
        for name in ("default_time_format", "default_msec_format", "converter"):
            formatter.__dict__.pop(name, None)  # the class's own


def _subject(arguments: Arguments) -> str | None:
    update = arguments["update"]
    return f"log_settings:{','.join(sorted(update))}" if update else None
