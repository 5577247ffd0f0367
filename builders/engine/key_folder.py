"""KeyFolder: the keys of one endpoint: the file that its server reads, of digests, and the secrets for its owner.

A server sees `keys/` read-only, as a folder: a file that is replaced would stay the old one where it alone is mounted.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
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

    def put(self, text: str, secrets: Mapping[str, str] | None = None) -> None:
        """The file of digests, and secrets by their kinds: all of them, or where the disk is full none."""
        files = {self.secret_file(kind): (secret + "\n", 0o600) for kind, secret in (secrets or {}).items()}
        self._put({**files, self.mounted / FILE: (text, 0o644)})

    def secret_file(self, kind: str) -> Path:
        """Where a secret is, for its owner alone."""
        return self.root / f"{kind}.key"

    def secret(self, kind: str) -> str:
        """NotFound where there is none."""
        try:
            return self.secret_file(kind).read_text("ascii").strip()
        except OSError as e:
            raise NotFound(f"{self.secret_file(kind)}: {e.strerror}; --rotate {kind} makes another") from e

    def _put(self, files: Mapping[Path, tuple[str, int]]) -> None:
        """Replace files whole, when all are written: a server may be reading one. A path's text, and its mode."""
        written: list[str] = []
        path = self.mounted
        try:
            self.mounted.mkdir(exist_ok=True)
            self.mounted.chmod(0o755)
            for path, (text, mode) in files.items():
                handle, work = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
                written.append(work)
                with open(handle, "w", encoding="utf-8") as f:
                    f.write(text)
                    f.flush()
                    os.fsync(f.fileno())
                os.chmod(work, mode)
            for work, path in zip(written, files, strict=True):
                os.replace(work, path)
        except OSError as e:
            raise UsageError(f"{path}: cannot be written: {e.strerror}; make room, or set GANTLINE_HOME") from e
        finally:
            for work in written:
                with suppress(FileNotFoundError):
                    os.unlink(work)
