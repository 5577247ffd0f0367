"""Formats: what the steps make is what queries expect; older ones are brought forward, newer ones refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, inspect, text, update
from sqlalchemy.exc import DBAPIError

from gantline.errors import BadArtefact, GantlineError, Unsupported
from gantline.packages import Package
from gantline.registry import checkout, schema, tables
from gantline.registry.database import Database
from gantline.registry.place import Place
from gantline.registry.presence import Presence
from gantline.registry.registry import Registry

MakePackage = Callable[..., Package]


def test_the_steps_make_what_queries_expect(registry: Registry, make: MakePackage) -> None:
    registry.register(make())
    with registry.database.reading() as connection:
        found = inspect(connection)
        assert set(found.get_table_names()) == set(tables.METADATA.tables)
        for name, table in tables.METADATA.tables.items():
            columns = {c["name"]: c for c in found.get_columns(name)}
            assert list(columns) == [c.name for c in table.columns]
            for c in table.columns:
                told = str(columns[c.name]["type"])
                assert told == str(c.type).upper(), (name, c.name)
                assert columns[c.name]["nullable"] is c.nullable
            assert set(found.get_pk_constraint(name)["constrained_columns"]) == {c.name for c in table.primary_key}


def step_three(connection: Connection) -> None:
    """What a later format might do."""
    connection.execute(text("ALTER TABLE versions ADD COLUMN mood TEXT NOT NULL DEFAULT 'calm'"))


def later_one(registry: Registry, step: schema.Step) -> Registry:
    """The same registry as a Gantline sees it that knows one step more."""
    later = Registry(registry.place)
    later.database.close()
    later.database = Database(registry.place, (*schema.STEPS, step))
    return later


def test_an_older_format_is_brought_forward(registry: Registry, make: MakePackage) -> None:
    kept = registry.register(make(), alias="champion")
    with later_one(registry, step_three) as later:
        if registry.place.file is None:  # others of the team may still run the older Gantline
            with pytest.raises(Unsupported, match=r"has format 2, this Gantline 3; type: gantline registry migrate"):
                later.get("iris")
            assert later.migrate() == (2, 3)
        assert later.get("iris@champion").digest == kept.digest
        assert later.migrate() == (3, 3)
        with later.database.reading() as connection:
            assert connection.execute(text("SELECT mood FROM versions")).scalars().all() == ["calm"]


def test_the_first_format(tmp_path: Path, make: MakePackage) -> None:
    """A registry that was made before servers told it what they serve."""
    place = Place(tmp_path / "registry.db")
    old = Database(place, schema.STEPS[:1])
    assert old.make("store", 1)
    old.close()
    with Registry(place) as registry:
        assert registry.register(make(), alias="champion").id == "iris:1" and registry.migrate() == (2, 2)
        with Presence(Registry(place)) as here:
            checkout.let_go(here.take("iris@champion")[0].digest)


def test_a_step_that_fails_changes_nothing(registry: Registry, make: MakePackage) -> None:
    registry.register(make())

    def failing(connection: Connection) -> None:
        step_three(connection)
        connection.execute(text("SELECT 1 FROM nowhere"))

    with later_one(registry, failing) as later, pytest.raises(GantlineError, match="nowhere"):
        later.migrate()
    with Registry(registry.place) as same, same.database.reading() as connection:
        assert schema.format_of(connection) == 2
        assert "mood" not in {c["name"] for c in inspect(connection).get_columns("versions")}


def test_a_newer_format_is_refused(registry: Registry, make: MakePackage) -> None:
    registry.register(make())
    with registry.database.writing() as connection:
        connection.execute(update(tables.registry).values(format=99))
    with Registry(registry.place) as other:
        for ask in (other.list, other.migrate, lambda: other.promote("iris:1", "a")):
            with pytest.raises(BadArtefact, match="has format 99; this Gantline reads up to 2: use a newer one"):
                ask()


REPLACE = "INSERT OR REPLACE INTO {} SELECT {} FROM {}"  # SQLite's: PostgreSQL's needs an UPDATE
EVENT = "{}, at{}, 'x', action, name, version, alias, was, became"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET who = 'x'", "DELETE FROM events", "UPDATE files SET size = 0",
        "UPDATE properties SET value = 'x'",
        REPLACE.format("events", EVENT.format("id", ""), "events"),
        REPLACE.format("events", EVENT.format("id + 1", " - 1"), "events"),  # what would have been before
        REPLACE.format("properties", "name, version, key, 'x'", "properties"),
        REPLACE.format("files", "package, path, digest, 0", "files"),
        "TRUNCATE events", "TRUNCATE properties",
    ],
)  # fmt: skip
def test_the_log_is_append_only_whoever_connects(registry: Registry, make: MakePackage, statement: str) -> None:
    if (registry.place.file is None and "REPLACE" in statement) or (registry.place.file and "TRUNCATE" in statement):
        pytest.skip("not of this database's language")
    registry.register(make(), properties={"a": "b"})
    with pytest.raises(GantlineError, match="append-only") as caught, registry.database.writing() as connection:
        connection.execute(text(statement))
    assert isinstance(caught.value.__cause__, DBAPIError) and len(registry.history("iris")) == 1


def test_a_database_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "registry.db").write_bytes(b"this is not SQLite" * 100)
    with Registry(Place(tmp_path / "registry.db")) as registry, pytest.raises(BadArtefact, match="no SQLite database"):
        registry.list()
