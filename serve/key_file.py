"""KeyFile: the keys file on its disk, read again when it has changed; a version that is broken changes nothing."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from pathlib import Path

from gantline.errors import UsageError

from .access import Access
from .keys import MAX_BYTES, KeySet, parse

PERIOD_S = 1.0  # between two looks: how long a secret that was taken out may still be taken
_log = logging.getLogger("gantline.access")


class KeyFile:
    """One path. Its whole text is compared, not its time: a change within the same second and size is seen, too."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self._text: str | None = None  # of the last look, good or bad
        self._trouble = ""  # what was last complained about

    def read(self) -> KeySet:
        """The keys in it. UsageError says what is wrong with it."""
        text, shown = self._read()
        self._text = text
        keys = parse(text, str(self.path))
        if shown:
            _log.warning("%s: other users of this machine can read it; type: chmod 600", self.path)
        return keys

    def changed(self) -> KeySet | None:
        """The keys, if the file is another than at the last look and a good one. What is wrong is logged, once."""
        try:
            keys = self.read() if self._read()[0] != self._text else None
        except UsageError as e:
            if e.message != self._trouble:
                _log.error("%s; the keys from before stay in force", e.message)
            self._trouble = e.message
            return None
        self._trouble = ""
        return keys

    async def watch(self, access: Access) -> None:
        """Look once a second, on a thread, and put new keys in force; for ever, until cancelled."""
        while True:
            await asyncio.sleep(PERIOD_S)
            found = await asyncio.to_thread(self.changed)
            if found is not None:
                _log.warning("%s has changed: %s", self.path, difference(access.keys, found))
                access.keys = found

    def _read(self) -> tuple[str, bool]:
        """The text, and whether other users can read it, too."""
        try:
            with self.path.open("rb") as file:
                data, shown = file.read(MAX_BYTES + 1), _shown(file.fileno())
        except OSError as e:
            raise UsageError(f"keys {self.path}: cannot be read: {e.strerror}") from e
        if len(data) > MAX_BYTES:
            raise UsageError(f"keys {self.path}: larger than {MAX_BYTES} bytes")
        try:
            return data.decode(), shown
        except UnicodeDecodeError:
            raise UsageError(f"keys {self.path}: not UTF-8") from None


def _shown(file: int) -> bool:
    """Where modes say something, and may be changed: what a container is given read-only has an owner outside."""
    if os.name == "nt" or os.fstatvfs(file).f_flag & os.ST_RDONLY:
        return False
    return bool(os.fstat(file).st_mode & (stat.S_IRGRP | stat.S_IROTH))


def difference(before: KeySet, after: KeySet) -> str:
    """What a person wants to know of two versions: which names are new, gone or different."""
    old, new = before.names, after.names
    told = {
        "new": [n for n in new if n not in old],
        "gone": [n for n in old if n not in new],
        "different": [n for n in new if n in old and after[n] != before[n]],
    }
    return "; ".join(f"{word}: {', '.join(names[:20])}" for word, names in told.items() if names) or "the same keys"
