"""Shelf: layers made before, found by what they were made of, so that a warm build writes only what changed."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gantline.blobs import canonical_json
from gantline.errors import GantlineError
from gantline.oci.store import Store

from .entry import Entry
from .layer import Layer, write_layer

_FORMAT = 2  # another one forgets all that is remembered


@dataclass(frozen=True, slots=True)
class Shelf:
    """`folder` remembers layers of `store` by a key that their maker chooses."""

    store: Store
    folder: Path

    def layer(
        self, key: object, title: str, entries: Callable[[], Iterable[Entry]], compress: bool = True
    ) -> tuple[Layer, bool]:
        """The layer of these entries, and whether it was there. `key` is JSON that determines them."""
        name = hashlib.sha256(canonical_json([_FORMAT, title, compress, key])).hexdigest()
        found = self._read(self.folder / f"{name}.json")
        if found is not None:
            return found, True
        made = write_layer(self.store, entries(), title, compress)
        self._write(self.folder / f"{name}.json", made)
        return made, False

    def _read(self, path: Path) -> Layer | None:
        try:
            layer = Layer.from_json(json.loads(path.read_bytes()), str(path))
            digest = layer.descriptor.digest
            there = self.store.has(digest) and self.store.path(digest).stat().st_size == layer.descriptor.size
            return layer if there else None
        except (OSError, ValueError, KeyError, TypeError, GantlineError):
            return None  # what cannot be read is made again

    def _write(self, path: Path, layer: Layer) -> None:
        """Remember it, or not where nothing can be written: it can be made again."""
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=".layer.", dir=self.folder)
            try:
                with os.fdopen(handle, "wb") as f:
                    f.write(canonical_json(layer.to_json()))
                os.replace(name, path)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(name)
