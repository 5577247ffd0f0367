"""Entry: one file, link or directory that a layer will hold, and where its bytes come from."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gantline.errors import BadArtefact

FILE, PROGRAM, FOLDER = 0o644, 0o755, 0o755
WHITEOUT = ".wh."  # what a name begins with that takes out another one (OCI image spec, layers)


@dataclass(frozen=True, slots=True)
class Entry:
    """`path` is relative to the root. `link` makes a symbolic link; without `open` and `link` it is a directory."""

    path: str
    size: int = 0
    open: Callable[[], IO[bytes]] | None = None
    mode: int = FILE
    link: str = ""

    def __post_init__(self) -> None:
        parts = self.path.split("/")
        if not self.path or "\\" in self.path or any(part in ("", ".", "..") for part in parts):
            raise BadArtefact(f"path {self.path!r:.200} cannot be in a layer")
        if hidden := next((part for part in parts if part.startswith(WHITEOUT)), ""):
            raise BadArtefact(
                f"file {self.path!r:.200} cannot be in a layer: by the name {hidden!r:.80} engines take out "
                f"{hidden.removeprefix(WHITEOUT)!r:.80} of the layers below; rename it"
            )


def of_bytes(path: str, data: bytes, mode: int = FILE) -> Entry:
    """A file with these bytes."""
    return Entry(path, len(data), lambda: io.BytesIO(data), mode)


def of_file(path: str, source: Path, mode: int = FILE) -> Entry:
    """A file with the bytes of another, read when the layer is written."""
    return Entry(path, source.stat().st_size, lambda: source.open("rb"), mode)


def of_tree(path: str, source: Path) -> list[Entry]:
    """All files below a directory, at `path`; bytecode left out."""
    return [
        of_file(f"{path}/{file.relative_to(source).as_posix()}", file)
        for file in sorted(source.rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
    ]
