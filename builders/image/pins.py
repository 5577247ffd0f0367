"""Pins: which digest a tag had when a base was first built on, so that the same build stays on the same base.

One file of JSON, for people to read and edit: a tag whose line is removed is looked up again.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gantline.errors import BadArtefact, UsageError
from gantline.file_lock import only_one
from gantline.oci.descriptor import check_digest
from gantline.oci.store import json_object


@dataclass(frozen=True, slots=True)
class Pins:
    """`path` is made when something is pinned."""

    path: Path

    def find(self, name: str) -> str:
        """The digest that a name is pinned at; empty if at none. BadArtefact for a file of anything else."""
        return self._read().get(name, "")

    def set(self, name: str, digest: str) -> None:
        """Pin a name. UsageError where nothing can be written."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with only_one(self.path.with_suffix(".lock")):
                self._write({**self._read(), name: digest})
        except OSError as e:
            raise UsageError(f"{self.path}: cannot be written: {e.strerror}; set GANTLINE_HOME elsewhere") from e

    def _read(self) -> dict[str, str]:
        try:
            found = json_object(self.path.read_bytes(), str(self.path))
        except FileNotFoundError:
            return {}
        try:
            return {name: check_digest(digest, f"{self.path}: {name}") for name, digest in found.items()}
        except BadArtefact as e:
            raise BadArtefact(f"{e}; mend that line, or remove it") from e

    def _write(self, pins: dict[str, str]) -> None:
        handle, name = tempfile.mkstemp(prefix=".pins.", dir=self.path.parent)
        try:
            with os.fdopen(handle, "w") as f:
                f.write(json.dumps(pins, indent=2, sort_keys=True) + "\n")
            os.replace(name, self.path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(name)
