"""An entry that takes out another one of the layers below, as layers of others have, and ours never."""

from __future__ import annotations

from gantline.builders.image.entry import Entry, of_bytes


def whiteout(folder: str, name: str) -> Entry:
    entry = of_bytes(f"{folder}/{name}", b"")
    object.__setattr__(entry, "path", f"{folder}/.wh.{name}")  # Entry itself refuses such a name
    return entry
