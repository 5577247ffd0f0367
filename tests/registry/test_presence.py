"""Presence: what a server says it serves keeps others from removing it, until it ends or is long silent."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from gantline.errors import NotFound, UsageError
from gantline.packages import Package
from gantline.registry import checkout, presence, tables
from gantline.registry.database import clock
from gantline.registry.garbage import DAY_US
from gantline.registry.presence import HOLDS_US, Presence
from gantline.registry.registry import Registry

MakePackage = Callable[..., Package]
WAIT_S = 30


def servers(registry: Registry) -> tuple[str, ...]:
    return next(link.values for link in registry.trace("iris:1").links if link.what == "server")


def test_what_is_served_is_not_removed(registry: Registry, where: str, make: MakePackage) -> None:
    digest = registry.register(make()).digest
    registry.register(make(factor=3), alias="champion")
    with Presence(Registry.open(where, who="bob@far")) as here:
        version, path = here.take("iris:1")
        here.enter(version)  # another REF means it, too
        assert (version.version, path.name) == (1, "1") and checkout.leased() == {digest}
        assert len(servers(registry)) == 1 and servers(registry)[0].startswith("iris:1 by bob@far (process ")
        here.leave("iris", 1)
        with pytest.raises(UsageError, match=r"iris:1 is served by bob@far \(process \d+\), since .*Z; stop it"):
            registry.remove("iris:1")
    assert servers(registry) == ()
    assert registry.remove("iris:1").version == 1
    checkout.let_go(digest)


def test_what_was_removed_is_not_served(registry: Registry, where: str, make: MakePackage) -> None:
    """Between being looked up and being told of, a version may go."""
    version = registry.register(make())
    registry.remove("iris:1")
    with Presence(Registry.open(where)) as here, pytest.raises(NotFound, match="iris:1 was removed"):
        here.enter(version)
    assert checkout.leased() == set()


def last_word(registry: Registry, ago_us: int) -> None:
    """As if the servers had been silent for so long."""
    with registry.database.writing() as connection:
        until = clock(connection) + HOLDS_US - ago_us
        connection.execute(update(tables.presences).values(until=until))


def test_a_killed_server_is_believed_for_a_while(registry: Registry, where: str, make: MakePackage) -> None:
    digest = registry.register(make()).digest
    killed = Presence(Registry.open(where))
    killed.take("iris:1")
    checkout.let_go(digest)  # it was on another machine
    last_word(registry, HOLDS_US - 10_000_000)
    with pytest.raises(UsageError, match="one that was killed is believed until"):
        registry.remove("iris:1")
    last_word(registry, HOLDS_US)
    registry.remove("iris:1")
    assert registry.collect("0 seconds").blobs == (), "it may serve still, where it does not reach the registry"
    last_word(registry, HOLDS_US + DAY_US)
    assert len(registry.collect("0 seconds").blobs) == 3
    with registry.database.reading() as connection:
        assert connection.execute(tables.presences.select()).all() == []
    killed.close()


def test_it_is_said_again(
    tmp_path: Path, make: MakePackage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also after the registry was away, with one line in the log for that."""
    monkeypatch.setattr(presence, "BEAT_S", 0.005)
    there, away = tmp_path / "r", tmp_path / "away"
    with Registry.open(there) as registry, Presence(Registry.open(there)) as here:
        version = registry.register(make())
        registry.register(make(factor=3))
        other = registry.get("iris:2")
        here.take("iris:1")

        def wait_for(count: int) -> None:
            end = time.monotonic() + WAIT_S
            while len(servers(registry)) != count:
                assert time.monotonic() < end, caplog.text

        with registry.database.writing() as connection:
            connection.execute(delete(tables.presences))
        wait_for(1)
        there.rename(away)
        here.enter(other)
        assert caplog.text.count("nobody is told what is served here") == 1
        away.rename(there)
        with pytest.raises(UsageError, match="iris:2 is served by"):
            wait_for(1)
            while registry.trace("iris:2").links[-1].values == ():
                pass
            registry.remove("iris:2")
        checkout.let_go(version.digest)


def test_others_who_write_do_not_hold_up_a_server(
    registry: Registry, where: str, make: MakePackage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    version = registry.register(make())
    monkeypatch.setattr(presence, "PATIENCE_S", 0.01)
    with Presence(Registry.open(where)) as here:
        with registry.database.writing():
            here.take("iris")
        assert "others have been writing for too long; try again; nobody is told" in caplog.text
        checkout.let_go(version.digest)


def test_who_may_only_read_serves_all_the_same(
    registry: Registry, where: str, make: MakePackage, caplog: pytest.LogCaptureFixture
) -> None:
    if registry.place.file is not None:
        pytest.skip("root may write everywhere on a disk")
    digest = registry.register(make()).digest
    with Presence(Registry.open(f"{where}&options=-c%20default_transaction_read_only%3Don")) as here:
        assert here.take("iris")[0].digest == digest
        assert "may be read only, and nothing was changed" in caplog.text
    assert servers(registry) == ()
    checkout.let_go(digest)
