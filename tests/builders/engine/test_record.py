"""Records of endpoints: whole or not there, one command at a time for each name."""

from __future__ import annotations

import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from gantline.builders.engine.record import Deployed, Record, Records, check_name, now

from gantline.errors import BadArtefact, NotFound, UsageError

ONE = Record(
    "one", "process", "", "iris", (Deployed("main", "iris:1", "sha256:1", "sha256:2", 90), Deployed("b", "iris:2")),
    "http://127.0.0.1:1", keys="own", created=now(), details={"seat": "seat-1"},
)  # fmt: skip


def test_what_is_put_is_found(tmp_path: Path) -> None:
    records = Records(tmp_path / "endpoints")
    assert records.names() == [] and records.find("one") is None
    records.put(ONE)
    records.put(replace(ONE, name="another"))
    assert records.names() == ["another", "one"] and records.get("one") == ONE
    assert stat.S_IMODE(records.folder("one").stat().st_mode) == 0o700
    with pytest.raises(NotFound, match="endpoint 'two': not known here; there is another, one"):
        records.get("two")
    records.remove("one")
    records.remove("one")
    assert records.all() == [replace(ONE, name="another")]


@pytest.mark.parametrize("text", ["{", "[]", '{"deployments": [{}]}', '{"deployments": [], "colour": 1}'])
def test_a_file_that_is_no_record(tmp_path: Path, text: str) -> None:
    records = Records(tmp_path)
    (records.made("one") / "endpoint.json").write_text(text)
    records.put(replace(ONE, name="good"))
    with pytest.raises(BadArtefact, match=r"endpoint.json: .*remove it"):
        records.find("one")
    said: list[str] = []
    assert [one.name for one in records.all(said.append)] == ["good"] and len(said) == 1


def test_one_command_at_a_time(tmp_path: Path) -> None:
    records = Records(tmp_path / "endpoints")
    with records.claim("one"):
        assert records.claimed("one") and not records.claimed("two")
        with pytest.raises(UsageError, match="endpoint one: another command"), records.claim("one"):
            pass
        with records.claim("two"):
            pass
    assert not records.claimed("one")


def test_who_only_asks_is_in_nobodys_way(tmp_path: Path) -> None:
    """`run` looks at all endpoints, to see which images are used; that is no command at each of them."""
    records = Records(tmp_path)
    with records.claim("one"):
        pass
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            records.claimed("one")

    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask) for _ in range(2)]
        try:
            for _ in range(200):
                with records.claim("one"):
                    pass
        finally:
            stop.set()
        for one in asking:
            one.result()


@pytest.mark.parametrize("name", ["", "../x", "a/b", "-a", "a" * 64, "a b", "one.next", "one.ports"])
def test_no_name(name: str) -> None:
    with pytest.raises(UsageError, match="--name"):
        check_name(name)


@pytest.mark.parametrize("name", ["w", "one.ports"])
def test_a_name_that_can_no_longer_be_given_stands_in_nobodys_way(tmp_path: Path, name: str) -> None:
    records = Records(tmp_path)
    folder = tmp_path / name
    folder.mkdir()
    records.put(replace(ONE, name=name))
    (tmp_path / "not ours").mkdir()
    (tmp_path / "not ours" / "endpoint.json").touch()
    assert records.all() == [replace(ONE, name=name)]
    with records.claim(name):
        records.remove(name)
    assert records.names() == [] and not folder.exists()
    for elsewhere in ("..", "../one", "/etc", ".", ""):
        with pytest.raises(UsageError, match="--name"):
            records.folder(elsewhere)


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "endpoints").write_text("")
    with pytest.raises(UsageError, match="set GANTLINE_HOME"):
        Records(tmp_path / "endpoints").put(ONE)
