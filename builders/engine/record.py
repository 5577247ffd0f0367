"""Record: what was started under an endpoint's name, and where, in a file of this user's; and all of them."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from gantline.blobs import publish_file
from gantline.errors import BadArtefact, NotFound, Unavailable, UsageError
from gantline.file_lock import held, take
from gantline.home import home

# what container engines take as a name, too: Docker none of one letter
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,62}")
_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")  # of those that earlier versions took, too
_TAKEN = (".next", ".ports")  # at the end of containers' names beside their endpoint's
_LONGEST = 200
_ASKING_S = 0.2
_FILE = "endpoint.json"


@dataclass(frozen=True, slots=True)
class Deployed:
    """One image behind an endpoint: its name and digests, as far as they are known, and its percentage of traffic."""

    name: str
    image: str
    image_id: str = ""
    package: str = ""
    traffic: int = 100


@dataclass(frozen=True, slots=True)
class Record:
    """`place`: a kind of place; `where`: which of them; `details`: JSON of that place's own.

    `url` and `grpc` are empty where the place finds them by itself. `keys`: "" for none, "own" for those made with the
    endpoint, else the path of the user's file that they were taken from.
    """

    name: str
    place: str
    where: str
    model: str
    deployments: tuple[Deployed, ...]
    url: str = ""
    grpc: str = ""
    keys: str = ""
    created: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """What `from_json` takes."""
        return {**asdict(self), "deployments": [asdict(one) for one in self.deployments]}

    def same(self, other: Record | None) -> bool:
        """Whether both tell of one start, whatever updates have made of it since."""
        return other is not None and (self.name, self.place, self.created) == (other.name, other.place, other.created)

    @classmethod
    def from_json(cls, tree: Any, where: str) -> Record:
        """BadArtefact names `where`."""
        try:
            deployed = tuple(Deployed(**one) for one in tree["deployments"])
            return cls(**{**tree, "deployments": deployed})
        except (KeyError, TypeError) as e:
            raise BadArtefact(f"{where}: no record of an endpoint that this version reads ({e}); remove it") from e


def check_name(name: str) -> str:
    """UsageError for what cannot be an endpoint's name."""
    if not _NAME.fullmatch(name) or name.endswith(_TAKEN):
        raise UsageError(
            f"--name {name!r:.100}: expected 2 to 63 letters, digits, '.', '_' and '-', the first a letter or "
            f"digit, and not {' or '.join(_TAKEN)} at the end"
        )
    return name


def _one_folder(name: str) -> str:
    """A name that leads nowhere else. One that can no longer be given can be looked at still, and deleted."""
    return name if _FOLDER.fullmatch(name) and len(name) < _LONGEST else check_name(name)


class Records:
    """A folder with one for each endpoint, which holds its keys, and its log where no engine keeps one."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def of_user(cls) -> Records:
        """Those in GANTLINE_HOME."""
        return cls(home() / "endpoints")

    def names(self) -> list[str]:
        """Of all, sorted."""
        there = (path.parent.name for path in self.root.glob(f"*/{_FILE}"))
        return sorted(name for name in there if _FOLDER.fullmatch(name))

    def all(self, say: Callable[[str], None] = lambda line: None) -> list[Record]:
        """By name; `say` is told of a file that is no record."""
        found = []
        for name in self.names():
            try:
                found.append(self.find(name))
            except BadArtefact as e:
                say(e.message)
        return [one for one in found if one is not None]

    def folder(self, name: str) -> Path:
        """Where what belongs to an endpoint lies, for this user alone."""
        return self.root / _one_folder(name)

    def find(self, name: str) -> Record | None:
        """None for one that is not here; BadArtefact for a file that is no record."""
        path = self.folder(name) / _FILE
        try:
            text = path.read_text("utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, UnicodeDecodeError) as e:
            raise BadArtefact(f"{path}: cannot be read: {e}") from e
        try:
            return Record.from_json(json.loads(text), str(path))
        except ValueError as e:
            raise BadArtefact(f"{path}: not JSON ({e}); remove it") from e

    def get(self, name: str) -> Record:
        """NotFound says which there are."""
        found = self.find(name)
        if found is None:
            there = ", ".join(self.names()) or "none"
            raise NotFound(f"endpoint {name!r:.100}: not known here; there is {there}")
        return found

    def put(self, record: Record) -> None:
        """Write it whole, or not at all. UsageError where it cannot be written."""
        folder = self.made(record.name)
        try:
            with publish_file(folder / _FILE, overwrite=True) as work:
                work.write_text(json.dumps(record.to_json(), indent=1, sort_keys=True) + "\n", "utf-8")
        except OSError as e:
            raise UsageError(f"{folder}: cannot be written: {e.strerror}; make room, or set GANTLINE_HOME") from e
        except Unavailable as e:
            raise Unavailable(f"{folder}: no space left on its disk; make room, or set GANTLINE_HOME") from e

    def made(self, name: str) -> Path:
        """The folder of an endpoint, made if need be."""
        folder = self.folder(name)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as e:
            raise UsageError(f"{folder}: cannot be made: {e.strerror}; make room, or set GANTLINE_HOME") from e
        return folder

    def remove(self, name: str) -> None:
        """Forget it, with its keys and its log: the record first, so that half of it is nothing."""
        folder = self.folder(name)
        (folder / _FILE).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def claim(self, name: str) -> Iterator[None]:
        """Be the one command that starts, changes or ends it. UsageError at once when another is."""
        path = self._lock(name)
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = _taken(path)
        except OSError as e:
            raise UsageError(f"{path}: cannot be made: {e.strerror}; make room, or set GANTLINE_HOME") from e
        if lock is None:
            raise UsageError(f"endpoint {name}: another command starts, changes or ends it now; try again after that")
        with lock:
            yield

    def claimed(self, name: str) -> bool:
        """Whether a command is at it now."""
        try:
            return held(self._lock(name))
        except OSError:
            return True

    def _lock(self, name: str) -> Path:
        # outside of its folder, which is removed: a third command could else lock another file of that name
        return self.root / f".{_one_folder(name)}.lock"


def _taken(path: Path) -> IO[bytes] | None:
    """A lock that another command has for longer than it takes to ask `claimed`: None."""
    end = time.monotonic() + _ASKING_S
    while (lock := take(path)) is None and time.monotonic() < end:
        time.sleep(_ASKING_S / 10)
    return lock


def now() -> str:
    """RFC 3339, in UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
