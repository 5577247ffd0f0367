"""Memory: what was found out before, one JSON file for each key; what cannot be read is found out again."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gantline.blobs import canonical_json


@dataclass(frozen=True, slots=True)
class Memory:
    """`folder` is made when something is kept. `version` tells what one program wrote from what another reads."""

    folder: Path
    version: int

    def recall(self, key: object) -> Any:
        """What was kept under a key, which is JSON; None if nothing that can be read."""
        try:
            found = json.loads(self._path(key).read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        return found

    def keep(self, key: object, value: object) -> None:
        """Keep JSON under a key: whole, or not at all where nothing can be written, since it can be found out again."""
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=".memory.", dir=self.folder)
            try:
                with os.fdopen(handle, "wb") as f:
                    f.write(json.dumps(value, separators=(",", ":")).encode())  # ASCII: names may be no UTF-8
                os.replace(name, self._path(key))
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(name)

    def _path(self, key: object) -> Path:
        return self.folder / (hashlib.sha256(canonical_json([self.version, key])).hexdigest() + ".json")
