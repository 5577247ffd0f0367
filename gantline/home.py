"""Home: where Gantline keeps what it makes for this user: images, environments, wheels."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from .errors import UsageError


def home() -> Path:
    """GANTLINE_HOME, or `~/.gantline`; it need not exist. UsageError for a user of no home, as containers have some."""
    if named := os.environ.get("GANTLINE_HOME"):
        return Path(named)
    own = of_user()
    if own is None:
        raise UsageError("this user has no home directory; set GANTLINE_HOME to a folder that it may write to")
    return own / ".gantline"


def of_user(environ: Mapping[str, str] | None = None) -> Path | None:
    """The user's home directory, where other programs keep their settings; None if nobody knows one."""
    if named := (os.environ if environ is None else environ).get("HOME"):
        return Path(named)
    try:
        return Path.home()
    except RuntimeError:
        return None
