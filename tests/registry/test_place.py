"""Where a registry is."""

from __future__ import annotations

from pathlib import Path

import pytest

from gantline.errors import UsageError
from gantline.registry.place import Place


def test_this_users_own(home: Path) -> None:
    assert Place.find() == Place(home / "registry.db") and str(Place.find()) == str(home)
    assert Place.find().blobs == "store"


def test_what_is_said_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GANTLINE_REGISTRY", "/srv/one")
    assert Place.find() == Place(Path("/srv/one/registry.db"))
    assert Place.find(tmp_path / "two") == Place(tmp_path / "two" / "registry.db")
    assert Place.find("sqlite:////srv/three.db") == Place(Path("/srv/three.db"))
    assert Place.find("sqlite:///three.db") == Place(Path("three.db"))


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_a_server_and_its_password(scheme: str) -> None:
    place = Place.find(f"{scheme}://ann:secret@db:5432/models")
    assert place.url == "postgresql+psycopg://ann:secret@db:5432/models" and place.file is None and place.blobs == ""
    assert str(place) == "postgresql://ann:***@db:5432/models"


@pytest.mark.parametrize(
    "rest",
    [
        "ann:sec/ret@db/m", "ann:sec:ret@db/m", "ann:sec@ret@db/m", "ann:sec?ret@db/m", "ann@db/m?password=secret",
        "db/m?user=ann&password=secret&x=1", "db/m?sslpassword=secret", "ann:secret@/m",
    ],
)  # fmt: skip
def test_no_password_is_shown_however_it_is_written(rest: str) -> None:
    shown = str(Place.find("postgresql://" + rest))
    assert "sec" not in shown and "ret" not in shown and "***" in shown and "/m" in shown


def test_what_is_no_password_is_shown() -> None:
    for url in ("postgresql://db:5432/m", "postgresql:///m?host=/run/pg", "postgresql://ann@db/m"):
        assert str(Place.find(url)) == url


@pytest.mark.parametrize("text", ["mysql://ann:secret@db/m", "http://x", "sqlite://", "sqlite:///"])
def test_other_urls(text: str) -> None:
    with pytest.raises(UsageError, match="expected a directory") as caught:
        Place.find(text)
    assert "secret" not in caught.value.message


def test_a_file_in_place_of_a_directory(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    with pytest.raises(UsageError, match="is a file; give its directory"):
        Place.find(tmp_path / "f")


def test_a_link_to_a_database_is_the_place_that_it_leads_to(tmp_path: Path) -> None:
    """Its blobs would be kept beside the link otherwise, where nobody finds them who comes by its own name."""
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "registry.db").touch()
    (tmp_path / "link.db").symlink_to(tmp_path / "r" / "registry.db")
    assert Place.find(f"sqlite:///{tmp_path / 'link.db'}") == Place.find(tmp_path / "r")
    (tmp_path / "link").symlink_to(tmp_path / "r")
    assert Place.find(tmp_path / "link") == Place(tmp_path / "link" / "registry.db")


def test_a_store_without_a_registry(tmp_path: Path) -> None:
    place = Place.find(tmp_path)
    assert not place.has_store and not Place(url="postgresql+psycopg://h/d").has_store
    (tmp_path / "store").mkdir()
    assert place.has_store
