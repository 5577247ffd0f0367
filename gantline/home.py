"""Home: where Gantline keeps what it makes for this user: images, environments, wheels."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """GANTLINE_HOME, or `~/.gantline`; it need not exist."""
    return Path(os.environ.get("GANTLINE_HOME") or Path.home() / ".gantline")
