"""KeyFolder: the keys of one endpoint: the file that its server reads, of digests, and the secrets for its owner.

A server sees `keys/` read-only, as a folder: a file that is replaced would stay the old one where it alone is mounted.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gantline.errors import NotFound, UsageError

KINDS = ("primary", "secondary")
FILE = "keys.toml"
INSIDE = "/run/gantline/keys"  # where containers see it


@dataclass(frozen=True, slots=True)
class KeyFolder:
    """`root`: the endpoint's own folder, which only its owner can enter."""

    root: Path

    @property
    def mounted(self) -> Path:
        """What the server sees; it holds digests, so whoever the server runs as may read it."""
        return self.root / "keys"

    def put(self, text: str) -> None:
        """The file of digests."""
        self._put(self.mounted / FILE, text, 0o644)
        self.mounted.chmod(0o755)

    def secret_file(self, kind: str) -> Path:
        """Where a secret is, for its owner alone."""
        return self.root / f"{kind}.key"

    def secret(self, kind: str) -> str:
        """NotFound where there is none."""
        try:
            return self.secret_file(kind).read_text("ascii").strip()
        except OSError as e:
            raise NotFound(f"{self.secret_file(kind)}: {e.strerror}; --rotate {kind} makes another") from e

    def put_secret(self, kind: str, secret: str) -> None:
        """Keep it for the owner."""
        self._put(self.secret_file(kind), secret + "\n", 0o600)

    def _put(self, path: Path, text: str, mode: int) -> None:
        """Replace a file whole: a server may be reading it."""
        try:
            path.parent.mkdir(exist_ok=True)
            handle, work = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            try:
                with open(handle, "w", encoding="utf-8") as f:
                    f.write(text)
                    f.flush()
                    os.fsync(f.fileno())
                os.chmod(work, mode)
                os.replace(work, path)
            except BaseException:
                with suppress(OSError):
                    os.unlink(work)
                raise
        except OSError as e:
            raise UsageError(f"{path}: cannot be written: {e.strerror}; make room, or set GANTLINE_HOME") from e
