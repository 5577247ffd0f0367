"""Setting: one named value of a program, with its type, bounds, unit and help; and the words for errors about it."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from types import MappingProxyType
from typing import Any, TypeAlias, cast

from .errors import UsageError

PREFIX = "GANTLINE_"
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?i?b?)", re.IGNORECASE)
_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")

Value: TypeAlias = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Setting:
    """What a field of a settings class may hold. `unit` is "bytes", "path" or "" (seconds are in the name: `_s`).

    A text may have a `pattern`, which `form` describes.
    """

    name: str
    default: Value
    help: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    words: Mapping[str, int] = field(default_factory=dict)  # that stand for a number
    pattern: str = ""
    form: str = ""

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return PREFIX + self.name.upper()

    @property
    def placeholder(self) -> str:
        """What --help shows for the value."""
        if self.choices:
            return "{" + ",".join(self.choices) + "}"
        number = "|".join(("N", *self.words))
        return {"bytes": "BYTES", "path": "FILE"}.get(self.unit, "TEXT" if isinstance(self.default, str) else number)

    def read(self, raw: Any, where: str) -> Value:
        """The checked value of text or of a TOML value. UsageError says `where`, what was found and what is right."""
        value = self.words[raw] if isinstance(raw, str) and raw in self.words else self._convert(raw)
        if value is None or not self._within(value):
            raise UsageError(f"{where}: {raw!r} is not {self.expected}")
        return value

    def show(self, value: Value) -> str:
        """The value as a person would write it."""
        if isinstance(value, bool):
            return str(value).lower()
        if self.unit == "bytes" and isinstance(value, int) and value:
            for shift, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
                if value % (1 << shift) == 0:
                    return f"{value >> shift}{unit}"
        return next((word for word, number in self.words.items() if number == value), str(value))

    @property
    def expected(self) -> str:
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if isinstance(self.default, bool | str):
            return (self.form or "text") if isinstance(self.default, str) else "true or false"
        what = 'a size such as 1048576 or "64MiB"' if self.unit == "bytes" else "a number"
        what = "a whole number" if isinstance(self.default, int) and not self.unit else what
        low, high = self.low, self.high
        if low is not None and high is not None:
            return f"{what} from {low:g} to {high:.0f}"
        return what if low is None else f"{what}, {low:g} or more"

    def _convert(self, raw: Any) -> Value | None:
        kind = type(self.default)
        if kind is bool:
            return raw if isinstance(raw, bool) else _boolean(raw)
        if isinstance(raw, bool):
            return None
        if kind is str:
            return raw if isinstance(raw, str) else None
        if isinstance(raw, str):
            return _size(raw) if self.unit == "bytes" else number_of(raw, kind)
        if kind is float:
            return float(raw) if isinstance(raw, int | float) else None
        return raw if isinstance(raw, int) else None

    def _within(self, value: Value) -> bool:
        if self.choices:
            return value in self.choices
        if isinstance(value, str):
            return "\0" not in value and (not self.pattern or re.fullmatch(self.pattern, value) is not None)
        if not math.isfinite(value):
            return False
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


def setting(default: Value, help: str, **rest: Any) -> Any:
    """A dataclass field that says its own help text, unit and bounds; see `Setting`."""
    return field(default=default, metadata={"help": help, **rest})


def settings_of(kind: Any) -> Mapping[str, Setting]:
    """The settings of a class (or of one of its values), in order of declaration."""
    return _settings_of(kind if isinstance(kind, type) else type(kind))


@cache
def _settings_of(kind: Any) -> Mapping[str, Setting]:
    return MappingProxyType({f.name: Setting(f.name, cast(Value, f.default), **f.metadata) for f in fields(kind)})


def check(settings: Any) -> None:
    """Hold a settings value, however it was made, to the types and bounds that its fields declare."""
    for name, one in settings_of(settings).items():
        one.read(getattr(settings, name), name)


def nearest(word: str, known: Iterable[str]) -> str:
    """Words for the end of an error: the name that was probably meant, or all that are known."""
    names = list(known)
    close = difflib.get_close_matches(word, names, 1, 0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"


def unknown(given: Iterable[str], known: Iterable[str], where: str) -> None:
    """UsageError for the first key that is not known, with the nearest one that is."""
    names = list(known)
    for key in given:
        if key not in names:
            raise UsageError(f"{where}: unknown setting {key!r}; {nearest(key, names)}")


def _boolean(raw: Any) -> bool | None:
    word = str(raw).strip().lower()
    return True if word in _TRUE else False if word in _FALSE else None


def number_of(text: str, kind: type) -> int | float | None:
    try:
        return float(text) if kind is float else int(text)
    except ValueError:
        return None


def size_of(text: str, where: str) -> int:
    """Bytes that a text says; UsageError (naming `where`) for anything else. Empty: 0."""
    found = _size(text) if text else 0
    if found is None:
        raise UsageError(f"{where} {text!r:.40}: expected a number of bytes, 150MB or 1GiB say")
    return found


def _size(text: str) -> int | None:
    """Bytes; KB, MB.. are powers of 1000, K, KiB, M, MiB.. powers of 1024."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        return None
    number, unit = float(match[1]), match[2].lower()
    power = " kmgt".index(unit[0]) if unit and unit[0] in "kmgt" else 0
    base = 1000 if unit.endswith("b") and "i" not in unit else 1024
    size = int(number * base**power)
    return size if size or not number else None  # half a byte is no word for none, which may stand for any
