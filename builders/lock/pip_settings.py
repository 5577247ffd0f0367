"""pip's settings: its files and PIP_ variables, in its own order of precedence (pip 26's configuration.py)."""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gantline.errors import UsageError
from gantline.home import of_user

_SECTIONS = ("global", "install")  # the later wins, whatever file it is in
_TRUE = ("y", "yes", "t", "true", "on", "1")


@dataclass(frozen=True, slots=True)
class PipSettings:
    """Long option's name -> text, as `pip install` would have it."""

    values: Mapping[str, str] = field(default_factory=dict)

    def text(self, name: str) -> str:
        return self.values.get(name, "").strip()

    def list(self, name: str) -> tuple[str, ...]:
        return tuple(self.values.get(name, "").split())

    def truth(self, name: str) -> bool:
        return truth(self.values.get(name, ""))

    def number(self, name: str, default: float) -> float:
        try:
            return float(self.values.get(name, default))
        except ValueError:
            return default


def truth(text: str) -> bool:
    """What pip and uv take for yes."""
    return text.strip().lower() in _TRUE


def read(environ: Mapping[str, str]) -> PipSettings:
    """From files and variables. UsageError names a file that is there and cannot be read."""
    sections: dict[str, dict[str, str]] = {}
    for path in files(environ):
        for section, values in _parsed(path).items():
            sections.setdefault(section, {}).update(values)
    merged: dict[str, str] = {}
    for section in _SECTIONS:
        merged |= sections.get(section, {})
    for name, value in environ.items():
        if name.startswith("PIP_") and value:
            merged[_option(name.removeprefix("PIP_"))] = value
    return PipSettings(merged)


def files(environ: Mapping[str, str]) -> list[Path]:
    """The files that pip would read, those that win last; not all need be there."""
    own = environ.get("PIP_CONFIG_FILE", "")
    if own == os.devnull:
        return []
    chosen = bool(own) and os.path.exists(own)
    found = _of_everybody(environ)
    if not chosen:  # a file that is named takes the place of the user's
        found += _of_user(environ)
    found.append(Path(sys.prefix) / _FILE)
    return [*found, Path(own)] if chosen else found


_FILE = "pip.ini" if sys.platform == "win32" else "pip.conf"


def _of_everybody(environ: Mapping[str, str]) -> list[Path]:
    if sys.platform == "win32":
        return [Path(environ.get("PROGRAMDATA", "C:/ProgramData")) / "pip" / _FILE]
    if sys.platform == "darwin":
        return [Path("/Library/Application Support/pip") / _FILE]
    folders = filter(None, environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":"))
    return [*(Path(folder) / "pip" / _FILE for folder in reversed(list(folders))), Path("/etc") / _FILE]


def _of_user(environ: Mapping[str, str]) -> list[Path]:
    home = of_user(environ)
    if home is None:
        return []
    if sys.platform == "win32":
        return [home / "pip" / _FILE, Path(environ.get("APPDATA", home)) / "pip" / _FILE]
    if sys.platform == "darwin" and (home / "Library/Application Support/pip").is_dir():
        return [home / ".pip" / _FILE, home / "Library/Application Support/pip" / _FILE]
    return [home / ".pip" / _FILE, Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / _FILE]


def _parsed(path: Path) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser()
    try:
        with path.open(encoding="utf-8") as f:
            parser.read_file(f)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}
    except (OSError, UnicodeDecodeError, configparser.Error) as e:
        raise UsageError(f"{path}: pip's settings cannot be read ({' '.join(str(e).split())[:200]})") from e
    return {section: {_option(k): v for k, v in parser.items(section)} for section in parser.sections()}


def _option(name: str) -> str:
    return name.lower().replace("_", "-").removeprefix("--")
