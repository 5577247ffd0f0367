"""Transactions: two writers lose nothing, a killed one leaves a registry that opens clean, and errors are one line."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select, text

from gantline.errors import GantlineError, Unavailable, Unreachable, UsageError
from gantline.packages import Package
from gantline.registry import database, event_log, tables
from gantline.registry.registry import Registry
from gantline.registry.search import files_of

MakePackage = Callable[..., Package]
LetGo = Callable[[str], None]
WRITER = Path(__file__).with_name("writers.py")


def writer(where: str, name: str, rounds: int, packages: list[Package]) -> subprocess.Popen[str]:
    words = [sys.executable, str(WRITER), where, name, str(rounds), *(str(p.path) for p in packages)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def check_whole(where: str) -> int:
    """Everything that must hold, whatever happened; how many versions there are."""
    with Registry.open(where) as registry:
        if registry.place.file is not None:
            with sqlite3.connect(registry.place.file) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
                assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
            connection.close()
        versions = registry.list()
        numbers = sorted(v.version for v in versions)
        assert numbers == list(range(1, len(numbers) + 1))
        log = registry.history("iris") if versions else []
        assert [e.id for e in log] == list(range(1, len(log) + 1))
        assert all(a.at < b.at for a, b in itertools.pairwise(log))
        assert [e.version for e in log if e.action == "register"] == numbers  # one line each
        with registry.database.reading() as connection_:
            files = {f.digest: f.size for v in versions for f in files_of(connection_, v.digest)}
            pointing = {a.alias: a.version for a in connection_.execute(select(tables.aliases))}
        assert all(registry.blobs.has(digest, size) for digest, size in files.items())
        if pointing:
            assert event_log.periods(e for e in log if e.alias)[-1].version == pointing["champion"]
        if versions:
            registry.package(versions[0].id).verify_files()
        return len(versions)


def test_two_writers_lose_nothing(where: str, make: MakePackage) -> None:
    packages = [make(factor=f) for f in range(2, 5)]
    rounds = 4
    both = [writer(where, name, rounds, packages) for name in ("ann", "bob")]
    told = [process.communicate(timeout=100) for process in both]
    assert [p.returncode for p in both] == [0, 0], told
    numbers = sorted(int(line.split()[1]) for out, _ in told for line in out.splitlines() if line[0] == "r")
    assert numbers == list(range(1, 2 * rounds + 1))
    assert check_whole(where) == 2 * rounds
    with Registry.open(where) as registry:
        assert all(len(registry.list(tags={"by": name})) == rounds for name in ("ann", "bob"))
        assert len(registry.list(tags={"round": None})) == 2 * rounds
        changes = [e for e in registry.history("iris") if e.alias]
        assert all(later.was == earlier.became for earlier, later in itertools.pairwise(changes))


def test_two_threads_of_one_registry(registry: Registry, make: MakePackage) -> None:
    packages = [make(factor=f) for f in range(2, 10)]
    threads = [threading.Thread(target=registry.register, args=[p]) for p in packages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(v.version for v in registry.list()) == list(range(1, 9))


def kills(where: str, make: MakePackage, count: int, longest_s: float) -> None:
    """Kill a writer `count` times, at moments that no two runs of this test share with another's work."""
    packages = [make(factor=f) for f in range(2, 6)]
    moments = random.Random(7)
    most = 0
    for _ in range(count):
        with writer(where, "ann", 1000, packages) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "begin\n"
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(moments.uniform(0, longest_s))
            process.kill()
            acknowledged = [int(line.split()[1]) for line in process.stdout if line.startswith("registered ")]
        found = check_whole(where)
        most = max([most, *acknowledged])
        assert found >= most  # what was said to be done is there


def test_a_killed_writer_leaves_a_registry_that_opens_clean(tmp_path: Path, make: MakePackage) -> None:
    where = str(tmp_path / "registry")
    with Registry.open(where) as registry:
        registry.make()
    kills(where, make, 2, 0.3)


@pytest.mark.slow
def test_many_kills(where: str, make: MakePackage) -> None:
    with Registry.open(where) as registry:
        if registry.place.file is not None:
            registry.make()
    kills(where, make, 25, 0.25)


@pytest.mark.slow
def test_killed_while_it_is_made(tmp_path: Path, make: MakePackage) -> None:
    """The tables are there whole or not at all."""
    package, moments = make(), random.Random(3)
    for i in range(8):
        where = str(tmp_path / f"r{i}")
        with writer(where, "ann", 1, [package]) as process:
            assert process.stdout is not None
            process.stdout.readline()
            try:
                process.wait(moments.uniform(0, 0.06))
            except subprocess.TimeoutExpired:
                process.kill()
        with Registry.open(where) as registry:
            assert registry.register(package).id == "iris:1" or registry.get("iris").version == 1
        check_whole(where)


@pytest.mark.slow
def test_writers_beside_one_that_collects(where: str, make: MakePackage, let_go: LetGo) -> None:
    """Blobs that are shared, removed and registered again, while everything that may be collected is, at once."""
    packages = [make(factor=f) for f in range(2, 5)]
    with Registry.open(where) as registry:
        registry.register(make("keep"))
        collected = 0
        for round_ in range(3):
            both = [writer(where, name, 6, packages) for name in ("ann", "bob")]
            while any(p.poll() is None for p in both):
                collected += len(registry.collect("0 seconds").blobs)
            assert [p.returncode for p in both] == [0, 0], [p.communicate() for p in both]
            for process in both:
                process.communicate()
            versions = registry.list("iris")
            assert len(versions) == 12
            for version in versions:
                checked_out = registry.path(version.id)
                assert Package.open(checked_out).verify_files() == 2, round_
            registry.release("iris", "champion")
            for version in versions:
                registry.remove(version.id)
            for digest in {v.digest for v in versions}:
                let_go(digest)
        collected += len(registry.collect("0 seconds").blobs)
        assert registry.get("keep").version == 1 and collected > 0


def test_a_full_disk_changes_nothing(tmp_path: Path, make: MakePackage, monkeypatch: pytest.MonkeyPatch) -> None:
    with Registry.open(tmp_path / "r") as registry:
        registry.register(make(factor=2), alias="champion")
        before = [e.to_json() for e in registry.history("iris")]
        connected = database._connected

        def small(file: Path) -> sqlite3.Connection:
            """SQLite says the same of a file that may not grow as of a disk that is full."""
            connection = connected(file)
            connection.execute(f"PRAGMA max_page_count={connection.execute('PRAGMA page_count').fetchone()[0]}")
            return connection

        monkeypatch.setattr(database, "_connected", small)
        with pytest.raises(Unavailable, match="no space left on its disk; nothing was changed") as caught:
            for i in range(100):
                registry.tag("iris:1", {f"k{i}": "x" * 4000})
        assert "\n" not in caught.value.message
        monkeypatch.undo()
        after = [e.to_json() for e in registry.history("iris")]
        assert after[: len(before)] == before and len(after) == 2 + len(registry.get("iris").tags)
    check_whole(str(tmp_path / "r"))


def test_somebody_writes_for_too_long(tmp_path: Path, make: MakePackage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_S", 0.05)
    with Registry.open(tmp_path / "r") as registry:
        registry.register(make())
        with sqlite3.connect(tmp_path / "r" / "registry.db", isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            assert registry.get("iris").version == 1  # readers wait for nobody
            with pytest.raises(Unavailable, match="others have been writing"):
                registry.promote("iris", "champion")
        other.close()
        assert registry.promote("iris", "champion").became == 1


def test_a_registry_that_may_be_read_only(tmp_path: Path, make: MakePackage, monkeypatch: pytest.MonkeyPatch) -> None:
    with Registry.open(tmp_path / "r") as registry:
        registry.register(make(), alias="champion")
        before = {p.name: p.read_bytes() for p in (tmp_path / "r").iterdir() if p.is_file()}
        # root may write anywhere: what it may not is what everybody else sees of a disk that is read only
        monkeypatch.setattr(os, "access", lambda path, mode: False)
        assert registry.get("iris@champion").version == 1
        for change in (lambda: registry.promote("iris", "x"), lambda: registry.tag("iris", {"a": "b"})):
            with pytest.raises(UsageError, match="may be read only, and nothing was changed; name another with --reg"):
                change()
        assert {p.name: p.read_bytes() for p in (tmp_path / "r").iterdir() if p.is_file()} == before


def test_a_server_that_does_not_answer(free_port: Callable[[], int]) -> None:
    url = f"postgresql://ann:secret@127.0.0.1:{free_port()}/models"
    with Registry.open(url) as registry, pytest.raises(Unreachable, match="does not answer") as caught:
        registry.list()
    assert "secret" not in caught.value.message and "\n" not in caught.value.message
    assert caught.value.message.endswith("check the address, the user and the password")


@pytest.mark.slow
@pytest.mark.container
def test_a_server_that_is_slow_or_restarts(
    postgresql: str, tmp_path: Path, make: MakePackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    url = f"postgresql://gantline@/postgres?host={postgresql}"
    with Registry.open(url) as registry:
        with pytest.raises(UsageError, match="has no place for blobs; type: gantline registry init"):
            registry.register(make())
        registry.make(str(tmp_path / "blobs"))
        registry.register(make())
        with psycopg.connect(f"host={postgresql} user=gantline dbname=postgres") as other:
            other.execute("SELECT one FROM registry FOR UPDATE")
            monkeypatch.setattr(database, "BUSY_S", 0.1)
            with pytest.raises(Unavailable, match="others have been writing"):
                registry.promote("iris", "champion")
            assert registry.get("iris").version == 1
            other.rollback()
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gantline'"
            other.execute(ended)
        assert registry.promote("iris", "champion").became == 1
    for bad, why in (
        (url.replace("gantline@", "nobody@"), "lets nobody in"),
        (url.replace("/postgres?", "/none?"), "lets nobody in"),
    ):
        with Registry.open(bad) as registry, pytest.raises(Unreachable, match=why) as caught:
            registry.list()
        assert "\n" not in caught.value.message


def test_a_place_that_is_none(tmp_path: Path, make: MakePackage) -> None:
    (tmp_path / "file").write_text("x")
    with Registry.open(tmp_path / "file" / "r") as registry, pytest.raises(UsageError, match="cannot be written"):
        registry.register(make())


def test_readers_see_one_state(registry: Registry, make: MakePackage) -> None:
    registry.register(make(factor=2))
    with registry.database.reading() as connection:
        query = select(tables.versions.c.version)
        before = connection.execute(query).scalars().all()
        with Registry(registry.place) as other:
            other.register(make(factor=3))
        assert connection.execute(query).scalars().all() == before == [1]
    assert len(registry.list()) == 2


def test_blobs_lie_where_whoever_made_it_stood(
    tmp_path: Path, make: MakePackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Registry.open(tmp_path / "r") as registry:
        registry.make("blobs")
        monkeypatch.chdir("/")
        registry.register(make())
        assert registry.blobs_at == str(tmp_path / "blobs") and registry.package("iris").verify_files() == 2


def test_a_url_that_is_none() -> None:
    with pytest.raises(UsageError, match="not a URL"):
        Registry.open("postgresql://ann@db:port/models")


def test_what_fails_half_way_never_was(registry: Registry, make: MakePackage) -> None:
    registry.register(make())
    with pytest.raises(GantlineError), registry.database.writing() as connection:
        event_log.append(connection, 1, "ann", "test", "iris")
        connection.execute(text("SELECT 1 FROM nowhere"))
    assert [e.action for e in registry.history("iris")] == ["register"]


@pytest.mark.parametrize("rest", ["ann:sec@ret/x@db/m", "ann:sec@ret@db/m", "ann:sec@r/et@db/m"])
def test_a_password_with_what_a_url_takes_for_its_own(rest: str) -> None:
    """The driver would look for a host that is named as half of the password, and say so."""
    with pytest.raises(UsageError, match="has an @ too many; in a password write it as %40") as caught:
        Registry.open("postgresql://" + rest)
    assert "sec" not in caught.value.message and "ret" not in caught.value.message


def test_a_disk_without_room_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite calls it an error of the disk if it cannot make the index of its log."""
    broken, file = sqlite3.OperationalError("disk I/O error"), tmp_path / "registry.db"
    usage = shutil.disk_usage(tmp_path)
    assert "its disk cannot be read" in str(database._error(broken, "r", file))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=4096))
    assert "no space left on its disk" in str(database._error(broken, "r", file))


def test_a_log_that_was_left_where_nobody_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What SQLite says of a disk that is read only, where whoever was killed left a log and no index of it."""
    shut, file = sqlite3.OperationalError("unable to open database file"), tmp_path / "registry.db"
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "cannot be opened" in str(database._error(shut, "r", file))
    (tmp_path / "registry.db-wal").write_bytes(b"x")
    assert "was left by whoever was killed, and may be read only here" in str(database._error(shut, "r", file))


def test_a_disk_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite takes it for somebody else's lock, and waits for a minute."""
    locked = sqlite3.OperationalError("database is locked")
    assert "others have been writing" in str(database._error(locked, "r", tmp_path / "registry.db"))
    monkeypatch.setattr(database, "has_locks", lambda path: False)
    assert "its disk has no locks" in str(database._error(locked, "r", tmp_path / "registry.db"))
