"""Database: one transaction after the other, on SQLite or PostgreSQL; whoever writes is alone.

SQLite: write-ahead log, so that readers wait for nobody; BEGIN IMMEDIATE, so that two writers queue rather than fail
half way; every commit is on the disk before it returns. PostgreSQL: a writer locks the one row of the table `registry`.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, NullPool, create_engine, event, exc, select, text

from ..errors import BadArtefact, GantlineError, NotFound, Unavailable, Unreachable, UsageError
from ..file_lock import has_locks, only_one
from . import moment, schema, tables
from .place import Place

BUSY_S = 60.0  # that a writer waits for the others before it gives up
_CONNECT_S = 10
_WRITES = "gantline_writes"
_MAKING = 0x67616E74  # the advisory lock of whoever makes a registry in a PostgreSQL database


class Database:
    """The tables of one registry. `steps` make them: those of the format that this program has."""

    def __init__(self, place: Place, steps: Sequence[schema.Step] = schema.STEPS) -> None:
        self.place = place
        self._steps = steps
        self._engine = _server(place) if place.file is None else _embedded(place.file)
        self._known = False

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state. NotFound where there is no registry."""
        with self._translated():
            self._look()
            with self._engine.connect() as connection:
                if connection.dialect.name == "postgresql":
                    connection.execution_options(isolation_level="REPEATABLE READ")
                with connection.begin():
                    yield connection

    @contextmanager
    def writing(self, wait_s: float | None = None) -> Iterator[Connection]:
        """A transaction with no other writer beside it; all of it happens, or nothing.

        Unavailable after `wait_s` (default: BUSY_S).
        """
        with self._translated():
            self._look()
            with self._alone(wait_s=wait_s) as connection:
                yield connection

    def make(self, blobs: str, now: int) -> bool:
        """Make the tables, if there are none; whether there were none. Two who make them at once make them once."""
        with self._translated():
            if self.place.file is not None:
                _make_file(self.place.file)
            with self._alone(lock=False) as connection:
                if connection.dialect.name == "postgresql":
                    connection.execute(text(f"SELECT pg_advisory_xact_lock({_MAKING})"))
                if schema.format_of(connection):
                    return False
                schema.make(connection, blobs, now, self._steps)
                return True

    def migrate(self) -> tuple[int, int]:
        """Bring an older Gantline's tables to this one's format; the format before and after."""
        with self._translated(), self._alone() as connection:
            return schema.migrate(connection, str(self.place), self._steps)

    def close(self) -> None:
        """Let go of the connections."""
        self._engine.dispose()

    def _look(self) -> None:
        """Once: whether there is a registry that this program understands. A directory's own is brought forward."""
        if self._known:
            return
        file = self.place.file
        if file is not None:
            _check_there(file, self.place)
        with self._engine.begin() as connection:
            found = schema.format_of(connection)
        if file is not None and 0 < found < len(self._steps):
            self.migrate()
        with self._engine.begin() as connection:
            schema.check(connection, str(self.place), len(self._steps))
        self._known = True

    @contextmanager
    def _alone(self, lock: bool = True, wait_s: float | None = None) -> Iterator[Connection]:
        wait_s = BUSY_S if wait_s is None else wait_s
        with self._engine.connect().execution_options(**{_WRITES: wait_s}) as connection, connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(text(f"SET LOCAL lock_timeout = {int(wait_s * 1000)}"))
                if lock:
                    connection.execute(select(tables.registry.c.one).with_for_update())
            yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (exc.DBAPIError, sqlite3.Error) as e:
            raise _error(e, f"registry {self.place}", self.place.file) from e
        except UnicodeEncodeError as e:
            raise UsageError(f"{e.object[:60]!r}: is no text: expected Unicode") from e
        except exc.TimeoutError as e:
            raise Unavailable(f"registry {self.place}: every connection of this process is in use; try again") from e


def _check_there(file: Path, place: Place) -> None:
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError) as e:
        raise NotFound(f"registry {place}: there is none yet; `gantline register` makes one there") from e
    except OSError as e:
        raise UsageError(f"registry {place}: cannot be read: {e.strerror}; give another by --registry") from e


def clock(connection: Connection) -> int:
    """The registry's own time, in microseconds of UTC: a server's, since those of a team's machines differ."""
    if connection.dialect.name != "postgresql":
        return moment.now()
    return int(
        connection.execute(text("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)")).scalar_one()
    )


def _server(place: Place) -> Engine:
    # a server that is gone without a word is noticed in half a minute, and not when the system gives up, in hours
    options = {
        "connect_timeout": _CONNECT_S, "application_name": "gantline", "keepalives_idle": 10, "keepalives_interval": 5,
        "keepalives_count": 4, "tcp_user_timeout": 30_000,
    }  # fmt: skip
    try:
        engine = create_engine(place.url, pool_size=2, pool_pre_ping=True, connect_args=options)
        if "@" in f"{engine.url.host}{engine.url.database}":  # the driver would name half a password as its host
            raise UsageError(f"registry {place}: has an @ too many; in a password write it as %40, and / as %2F")
        return engine
    except (exc.ArgumentError, ValueError) as e:
        raise UsageError(f"registry {place}: not a URL that can be read") from e


def _embedded(file: Path) -> Engine:
    # a connection for each transaction: it costs 0.2 ms, and nothing is shared with a forked process
    engine = create_engine("sqlite+pysqlite://", creator=lambda: _connected(file), poolclass=NullPool)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        wait_s = connection.get_execution_options().get(_WRITES)
        if wait_s is not None:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {int(wait_s * 1000)}")
        connection.exec_driver_sql("BEGIN" if wait_s is None else "BEGIN IMMEDIATE")

    return engine


def _connected(file: Path) -> sqlite3.Connection:
    options = "mode=rw"
    if not os.access(file.parent, os.W_OK) and not file.with_name(file.name + "-wal").exists():
        options = "mode=ro&immutable=1"  # nobody who may write here is writing: a log would have no place either
    connection = sqlite3.connect(
        f"file:{quote(str(file.absolute()))}?{options}",
        uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False,
    )  # fmt: skip
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def _make_file(file: Path) -> None:
    """An empty database with a write-ahead log. Changing to one does not wait for others, so a lock of ours does."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with only_one(file.with_name(file.name + ".lock")):
            connection = sqlite3.connect(file, timeout=BUSY_S)
            try:
                connection.execute("PRAGMA journal_mode=WAL")
            finally:
                connection.close()
    except OSError as e:
        raise UsageError(f"registry {file.parent}: cannot be written: {e.strerror}; {_ELSEWHERE}") from e


_ELSEWHERE = "name another with --registry or GANTLINE_REGISTRY"
_BUSY = "others have been writing for too long; try again"
_FULL = "no space left on its disk; nothing was changed: free some, and try again"
_READ_ONLY = f"may be read only, and nothing was changed; {_ELSEWHERE}"
_ROOM = 64 << 10  # bytes that SQLite's index of the log needs before anything can be read
_LEFT = "a log was left"
_LOCKLESS = "the disk has no locks"
# the beginning of what SQLite says -> what it means here
_SQLITE: tuple[tuple[str, type[GantlineError], str], ...] = (
    ("attempt to write a readonly database", UsageError, _READ_ONLY),
    (
        _LEFT,
        UsageError,
        "was left by whoever was killed, and may be read only here; `gantline list` where it may be written",
    ),
    (_LOCKLESS, UsageError, f"its disk has no locks (NFS without them?); {_ELSEWHERE}"),
    ("unable to open database file", UsageError, f"cannot be opened; {_ELSEWHERE}"),
    ("database or disk is full", Unavailable, _FULL),
    ("database is locked", Unavailable, _BUSY),
    ("file is not a database", BadArtefact, "is no SQLite database"),
    ("database disk image is malformed", BadArtefact, "is damaged; restore it from a copy"),
    ("disk I/O error", Unavailable, "its disk cannot be read or written"),
)
# the beginning of PostgreSQL's code -> what it means here
_POSTGRESQL: tuple[tuple[str, type[GantlineError], str], ...] = (
    ("25006", UsageError, _READ_ONLY),
    ("42501", UsageError, f"this user may not do that ({{why}}); {_ELSEWHERE}"),
    ("53", Unavailable, "{why}; nothing was changed"),
    ("55P03", Unavailable, _BUSY),
    ("40", Unavailable, "{why}; nothing was changed: try again"),
    ("57", Unreachable, "{why}; try again"),
    ("08", Unreachable, "{why}; try again"),
)


def _error(error: Exception, where: str, file: Path | None) -> GantlineError:
    """What a driver's error means to a person, in one line."""
    own = getattr(error, "orig", None) or error
    why = " ".join(str(own).split())[:300]
    if isinstance(own, sqlite3.Error):
        why = _why(why, file) if file else why
        rows = ((kind, words) for begin, kind, words in _SQLITE if why.startswith(begin))
    else:
        code = getattr(own, "sqlstate", None) or ""
        if not code:  # no answer that a server made: it was not reached, or did not let us in
            return Unreachable(
                f"{where}: does not answer, or lets nobody in ({why}); check the address, the user and the password"
            )
        rows = ((kind, words) for begin, kind, words in _POSTGRESQL if code.startswith(begin))
    kind, words = next(rows, (Unavailable, "{why}"))
    return kind(f"{where}: {words.format(why=why)}")


def _why(said: str, file: Path) -> str:
    """What SQLite meant: it says the same of a disk that is broken as of one without room for its index of the log."""
    with suppress(OSError):
        if said.startswith("disk I/O error") and shutil.disk_usage(file.parent).free < _ROOM:
            return "database or disk is full"
        if said.startswith("database is locked") and not has_locks(file.with_name(file.name + ".lock")):
            return _LOCKLESS
        log = file.with_name(file.name + "-wal")
        if said.startswith("unable to open") and not os.access(file.parent, os.W_OK) and log.stat().st_size:
            return _LEFT
    return said
