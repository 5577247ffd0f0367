"""TraceSettings: which models' requests are traced, how often and into which file (V2's trace extension).

Values are strings and lists of strings, as on the wire. A model's own settings come before those of the server.
"""

from __future__ import annotations

import logging
import os
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

from gantline.errors import BadRequest, NotFound, Unsupported, UsageError

from .control import Arguments, Control
from .repository import Repository
from .trace import Sampling, Trace, write

Values: TypeAlias = dict[str, Any]  # of strings, and a list of them for trace_level
OFF, TIMESTAMPS = "OFF", "TIMESTAMPS"
MAX_FILES = 10_000  # with one name; then tracing stops
_LIMITS = {"trace_rate": (1, 1 << 32), "trace_count": (-1, 1 << 31), "log_frequency": (0, 1 << 32)}
_LONGEST = 200  # bytes of a file's name; numbers are put behind it
_log = logging.getLogger("gantline.trace")


class TraceSettings:
    """The settings, the verb that reads and changes them, and the traces that follow from them.

    `folder`: the only one that files are written to; empty: tracing is off.
    """

    def __init__(self, folder: str, repository: Repository, control: Control, pool: Executor) -> None:
        """UsageError when the folder is none."""
        self._folder = Path(folder).resolve() if folder else None
        if self._folder is not None and not self._folder.is_dir():
            raise UsageError(f"trace_dir {folder}: no such directory")
        self._repository = repository
        self._control = control
        self._pool = pool
        self._at_start: Values = {
            "trace_level": [OFF],
            "trace_rate": "1000",
            "trace_count": "-1",
            "log_frequency": "0",
            "trace_file": "trace.json" if folder else "",
            "trace_mode": "triton",
        }
        self._server = dict(self._at_start)
        self._models: dict[str, Values] = {}
        self._traces: dict[str, tuple[Values, Trace]] = {}  # by model; "" is for all that have no settings of their own
        self._closed = False
        self._numbers = count(1)
        self._files: dict[Path, int] = {}
        control.register("trace_settings", self._run, subject=_subject)
        repository.listeners.append(self._attach)

    async def _run(self, arguments: Arguments) -> Values:
        """model, empty for the server's; update: settings to change, null to clear; empty to look. All settings.

        NotFound for an unknown model.
        """
        model, update = arguments["model"], arguments["update"]
        if model and model not in self._repository.names():
            raise NotFound(f"Request for unknown model: '{model}' is not found")
        if update:
            changed = dict(self._models.get(model, {}) if model else self._server)
            for key, value in update.items():
                if value is None and key in self._at_start:
                    changed.pop(key, None)
                else:
                    changed[key] = self._checked(key, value)
            if not model:
                self._server = self._at_start | changed  # what was cleared is as at the start
            elif changed:
                self._models[model] = changed
            else:
                self._models.pop(model, None)
            self._follow(model)
        return self._shown(model)

    def close(self) -> None:
        """Write what has been gathered, before this returns; nothing is traced any more."""
        self._closed = True
        for _, trace in self._traces.values():
            trace.flush()
        self._traces.clear()
        self._attach()

    def _values(self, model: str) -> Values:
        return self._server | self._models.get(model, {})

    def _shown(self, model: str) -> Values:
        values = self._values(model)
        found = self._traces.get(model if model in self._models else "")
        return values if found is None else values | {"trace_count": str(found[1].left)}

    def _follow(self, updated: str) -> None:
        """Begin and end traces as the settings say; those that nothing has changed for go on."""
        groups = {name: self._values(name) for name in ("", *self._models)}
        for name, (values, trace) in list(self._traces.items()):
            if name == updated or groups.get(name) != values:
                trace.flush()
                del self._traces[name]
        for name, values in groups.items():
            if name not in self._traces and values["trace_level"] != [OFF]:
                number = (int(values[key]) for key in ("trace_rate", "trace_count", "log_frequency"))
                trace = Trace(Sampling(*number), self._numbers.__next__, partial(self._put, values))
                self._traces[name] = (values, trace)
        self._attach()

    def _attach(self) -> None:
        for name, models in self._repository.resident():
            found = self._traces.get(name if name in self._models else "")
            for model in models:
                model.dispatch.trace = found[1] if found is not None else None

    def _put(self, values: Values, entries: list[dict[str, Any]]) -> None:
        """Have a list written, on a thread but at the end."""
        assert self._folder is not None, "nothing is traced without a folder"
        path = self._folder / values["trace_file"]
        if self._control.fan_out is not None:  # one of several workers
            path = path.with_name(f"{path.name}.{os.getpid()}")
        number = self._files.get(path, 0)
        if number >= MAX_FILES:
            _log.error("%d trace files named %s are written: %d entries are lost", number, path, len(entries))
            return
        self._files[path] = number + 1
        if number or values["log_frequency"] != "0":
            path = path.with_name(f"{path.name}.{number}")
        if not self._closed:
            with suppress(RuntimeError):  # the pool has been shut down
                self._pool.submit(write, path, entries)
                return
        write(path, entries)

    def _checked(self, key: str, value: Any) -> Any:
        """The value as it is kept. BadRequest for a wrong one, Unsupported for what cannot be had here."""
        if key == "trace_level":
            levels = [value] if isinstance(value, str) else value
            if not isinstance(levels, list) or not levels or not all(isinstance(one, str) for one in levels):
                raise BadRequest('trace setting "trace_level" must be a list of levels')
            for one in levels:
                if one not in (OFF, TIMESTAMPS):
                    kind = Unsupported if one == "TENSORS" else BadRequest
                    raise kind(f"trace level {one!r} is not known here; there are {OFF} and {TIMESTAMPS}")
            if TIMESTAMPS in levels and self._folder is None:
                raise Unsupported("tracing is off; the server's --trace-dir says where trace files go")
            return [TIMESTAMPS] if TIMESTAMPS in levels else [OFF]
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if not isinstance(value, str):
            raise BadRequest(f"trace setting {key!r} must be a string")
        if key == "trace_file":
            return self._checked_file(value)
        if key == "trace_mode" and value == "triton":
            return value
        if key not in _LIMITS:
            known = ", ".join(k for k in self._at_start if k != "trace_mode")
            raise BadRequest(f"trace setting {key!r} cannot be set to {value!r}; settings: {known}")
        low, high = _LIMITS[key]
        if not value.removeprefix("-").isdecimal() or len(value) > 12 or not low <= int(value) <= high:
            raise BadRequest(f'trace setting "{key}" is {value!r}; it must be a whole number from {low} to {high}')
        return str(int(value))

    def _checked_file(self, name: str) -> str:
        if self._folder is None:
            raise Unsupported("tracing is off; the server's --trace-dir says where trace files go")
        path = Path(name)
        inside = path.parent in (Path(), self._folder) and path.name not in ("", "..") and "\0" not in name
        if not inside or len(path.name.encode("utf-8", "replace")) > _LONGEST or (self._folder / path.name).is_dir():
            raise BadRequest(
                f"trace_file {name!r}: give the name of a file of at most {_LONGEST} bytes; it is written to the "
                "server's trace_dir, and nowhere else"
            )
        if len(self._files) >= MAX_FILES:
            raise BadRequest("too many trace files have been named; use one of them again")
        return path.name


def _subject(arguments: Arguments) -> str | None:
    update = arguments["update"]
    return f"trace_settings:{arguments['model']}:{','.join(sorted(update))}" if update else None
