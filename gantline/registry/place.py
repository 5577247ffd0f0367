"""Place: where a registry is: a directory on this machine, or a database server that a team shares."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from ..home import home

VARIABLE = "GANTLINE_REGISTRY"
FILE = "registry.db"
STORE = "store"
_SERVERS = ("postgresql", "postgres", "postgresql+psycopg")
# up to the last @: a password may hold any of the characters that should have been written as %..
_PASSWORD = re.compile(r"(?<!:/)(?<=:)(?!//).*(?=@)|(?<=password=)[^&]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Place:
    """`file` is the database of a directory; `url` a server's, password and all: show `str(place)` instead."""

    file: Path | None = None
    url: str = ""

    @classmethod
    def find(cls, said: str | os.PathLike[str] | None = None) -> Place:
        """What was said, else GANTLINE_REGISTRY, else this user's own. UsageError for a URL of another kind."""
        text = os.fspath(said) if said else os.environ.get(VARIABLE, "")
        if not text:
            return cls(home() / FILE)
        scheme, colon, rest = text.partition("://")
        if not colon:
            if Path(text).is_file():
                raise UsageError(f"registry {text}: is a file; give its directory, or sqlite:///FILE")
            return cls(_real(Path(text) / FILE))
        if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
            return cls(_real(Path(rest[1:])))
        if scheme in _SERVERS:
            return cls(url="postgresql+psycopg://" + rest)
        hidden = _PASSWORD.sub("***", text)
        raise UsageError(f"registry {hidden}: expected a directory, sqlite:///FILE or postgresql://USER@HOST/DATABASE")

    @property
    def blobs(self) -> str:
        """Where blobs go unless the registry says otherwise; nowhere for a server's."""
        return "" if self.file is None else STORE

    @property
    def has_store(self) -> bool:
        """Whether pulls, builds or a server of images have put blobs where this registry's go."""
        return self.file is not None and (self.file.parent / STORE).is_dir()

    def __str__(self) -> str:
        if self.file is not None:
            return str(self.file.parent) if self.file.name == FILE else str(self.file)
        return _PASSWORD.sub("***", self.url).replace("+psycopg", "")


def _real(file: Path) -> Path:
    """Where SQLite's log and the blobs lie: beside the file itself, whatever link leads to it."""
    return file.resolve() if file.is_symlink() else file
