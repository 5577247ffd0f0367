"""Entry: one model version that was found where the server was told to look, not yet loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gantline.accelerators.triton.versions import LATEST

from gantline.packages import Package


@dataclass(frozen=True, slots=True)
class Entry:
    """`problem` says why it cannot be served (then `package` is None); `config` is Triton's, where there is one.

    `pinned`: it answers requests that ask for no version. `place` holds all versions of the model, of which
    `versions` are served, in a policy's words.
    """

    name: str
    version: str
    package: Package | None
    config: Any = None
    problem: str = ""
    pinned: bool = False
    place: Path | None = None
    versions: str = LATEST
