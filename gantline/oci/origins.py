"""Origins: in which repositories a blob of the store is known to be, so that a registry can take it from there."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from .store import Store

_MOST = 16  # repositories remembered for a blob; the newest come first


class Origins:
    """Beside a store; what is lost or wrong there costs a try, no more."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._folder = store.root / "origins"

    def of(self, digest: str, host: str, but: str = "") -> str:
        """A repository of that registry, other than `but`, that had the blob last; "" where none is known."""
        found = (name.partition("/") for name in self._read(digest))
        return next((repository for at, _, repository in found if at == host and repository != but), "")

    def add(self, digest: str, host: str, repository: str) -> None:
        """The blob was seen there."""
        name = f"{host}/{repository}"
        known = self._read(digest)
        if known[:1] == [name]:
            return
        kept = [name, *(k for k in known if k != name)][:_MOST]
        with suppress(OSError):  # a full or read-only disk fails elsewhere
            self._folder.mkdir(exist_ok=True)
            handle, work = tempfile.mkstemp(prefix=".origin.", dir=self._folder)
            try:
                with os.fdopen(handle, "w") as f:
                    json.dump(kept, f)
                os.replace(work, self._path(digest))
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(work)

    def sweep(self) -> None:
        """Forget where blobs have been that are not in the store any more."""
        with suppress(OSError):
            for path in self._folder.glob("*.json"):
                if not (self._store.root / "blobs" / "sha256" / path.stem).exists():
                    path.unlink()

    def _read(self, digest: str) -> list[str]:
        try:
            found = json.loads(self._path(digest).read_bytes())
        except (OSError, ValueError):
            return []
        return [str(name) for name in found] if isinstance(found, list) else []

    def _path(self, digest: str) -> Path:
        return self._folder / f"{digest.removeprefix('sha256:')}.json"
