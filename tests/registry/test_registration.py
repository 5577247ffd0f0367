"""Registration: blobs first, then the rows; whatever fails, nothing refers to what is not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gantline.errors import Unavailable, UsageError
from gantline.oci.store import Store
from gantline.packages import Package
from gantline.registry import tables
from gantline.registry.blob_store import LocalBlobs
from gantline.registry.garbage import DAY_US, collect
from gantline.registry.moment import now
from gantline.registry.registration import Registration, register
from gantline.registry.registry import Registry

MakePackage = Callable[..., Package]


class Breaking(LocalBlobs):
    """A store whose disk is full at the second blob."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.kept = 0

    def put(self, digest: str, size: int, source: Path) -> None:
        self.kept += 1
        if self.kept == 2:
            raise Unavailable("no space left")
        super().put(digest, size, source)


def test_a_store_that_fails_half_way(registry: Registry, make: MakePackage) -> None:
    registry.register(make(factor=2))
    assert isinstance(registry.blobs, LocalBlobs)
    package = make(factor=3)
    with pytest.raises(Unavailable, match="no space left"):
        register(registry.database, Breaking(registry.blobs.store), Registration(package), "ann")
    assert [v.id for v in registry.list()] == ["iris:1"] and len(registry.history("iris")) == 1
    with registry.database.reading() as connection:
        assert connection.execute(tables.claims.select()).all() == []
        assert len(connection.execute(tables.packages.select()).all()) == 1
    assert registry.register(package).id == "iris:2"


class Collected(LocalBlobs):
    """A store whose registry is collected, by a clock a year ahead, when all has been sent."""

    def __init__(self, registry: Registry, times: int) -> None:
        assert isinstance(registry.blobs, LocalBlobs)
        super().__init__(registry.blobs.store)
        self._registry = registry
        self.times = times

    def put(self, digest: str, size: int, source: Path) -> None:
        super().put(digest, size, source)
        if source.name == "a.txt" and self.times:  # the last of a package's
            self.times -= 1
            year = now() + 365 * DAY_US
            assert len(collect(self._registry.database, self._registry.blobs, year).blobs) >= 2


def test_claims_that_ran_out(registry: Registry, make: MakePackage) -> None:
    registry.register(make("other", 5))
    package = make()
    blobs = Collected(registry, 1)
    assert register(registry.database, blobs, Registration(package), "ann").id == "iris:1"
    assert registry.package("iris").verify_files() == 2 and blobs.times == 0
    with pytest.raises(Unavailable, match="is its clock right"):
        register(registry.database, Collected(registry, 9), Registration(make("rose", 3)), "ann")
    with registry.database.reading() as connection:
        assert connection.execute(tables.claims.select()).all() == []


def test_who_may_not_is_told_before_anything_is_sent(registry: Registry, make: MakePackage) -> None:
    package = make()
    registry.register(package, properties={"a": "b"})
    assert isinstance(registry.blobs, LocalBlobs)
    blobs = Breaking(registry.blobs.store)
    with pytest.raises(UsageError, match="its properties cannot change"):
        register(registry.database, blobs, Registration(package, properties={"a": "c"}), "ann")
    assert blobs.kept == 0


def test_run_and_parent_do_not_change(registry: Registry, make: MakePackage) -> None:
    package = make(run="run-1")
    registry.register(make("base"))
    registry.register(package, run="run-2", parent="base")
    assert registry.register(package).created is False  # what the package says was overruled, and stays so
    assert registry.register(package, run="run-2", parent="base:1").version == 1
    with pytest.raises(UsageError, match=r"its run cannot change \(run-2\); --new-version"):
        registry.register(package, run="run-1")
    with pytest.raises(UsageError, match="its parent cannot change"):
        registry.register(package, parent="iris:1")
    assert registry.register(package, run="run-1", new_version=True).run == "run-1"


def test_a_blob_that_was_lost_is_written_again(registry: Registry, make: MakePackage) -> None:
    package = make()
    registry.register(package)
    assert isinstance(registry.blobs, LocalBlobs)
    registry.blobs.store.path(package.manifest.files[0].digest).unlink()
    assert registry.register(package).created is False
    assert registry.package("iris").verify_files() == 2
