"""Starting under a name: one at a time, on record before it runs, and nothing left of what fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from gantline.builders.engine import place
from gantline.builders.engine.key_folder import KeyFolder
from gantline.builders.engine.place import Change, Status
from gantline.builders.engine.record import Record, Records
from gantline.builders.engine.start import delete, start, update
from gantline.builders.engine.subject import Subject
from gantline.builders.engine.wish import Wish

from gantline.errors import Unavailable, Unreachable, UsageError
from gantline.oci.image import Image, write_manifest
from gantline.oci.platforms import Platform
from gantline.oci.store import Store


@dataclass
class Board:
    """A place that runs names on a board."""

    where: str = ""
    fails: list[BaseException] = field(default_factory=list)  # one for each call that is to fail
    running: set[str] = field(default_factory=set)
    seen: list[str] = field(default_factory=list)

    def planned(self, what: Subject, wish: Wish) -> tuple[Record, Wish]:
        return Record(wish.name, "board", "", "iris", ()), wish

    def launch(self, record: Record, what: Subject, wish: Wish, wait_s: float, say: Callable[[str], None]) -> Record:
        assert Records.of_user().find(record.name) is not None and Records.of_user().claimed(record.name)
        self.running.add(record.name)
        self._fail()
        return replace(record, url="http://board")

    def status(self, record: Record) -> Status:
        return Status("running" if record.name in self.running else "gone")

    def logs(self, record: Record, tail: int | None, follow: bool) -> Iterator[bytes]:
        return iter(())

    def keys(self, record: Record) -> Path:
        return Path()

    def update(self, record: Record, change: Change) -> Record:
        self._fail()
        return replace(record, model=change.ref)

    def delete(self, record: Record) -> None:
        self._fail()
        self.running.discard(record.name)

    def close(self) -> None:
        pass

    def _fail(self) -> None:
        if self.fails:
            raise self.fails.pop(0)


BOARD = Board()


def board(where: str) -> Board:
    """As the table of places finds it."""
    return BOARD


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path))
    monkeypatch.setitem(place.PLACES, "board", f"{__name__}:board")
    BOARD.running.clear()
    return tmp_path


@pytest.fixture
def what(tmp_path: Path) -> Subject:
    config = {"os": "linux", "architecture": "amd64", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}}
    store = Store(tmp_path / "store").prepared()
    image: Image = write_manifest(store, config, (), {})
    return Subject("iris:1", image, store)


def begin(what: Subject, said: list[str] | None = None, keys: Callable[[KeyFolder], str] | None = None) -> Record:
    return start(BOARD, what, Wish("one"), 1.0, (said if said is not None else []).append, keys)


def never(ref: str, platform: Platform) -> Subject:
    raise AssertionError(ref)


def test_started_changed_and_ended(home: Path, what: Subject) -> None:
    def fill(folder: KeyFolder) -> str:
        folder.put("keys")
        return "own"

    assert begin(what, keys=fill).keys == "own"
    records = Records.of_user()
    assert records.get("one").url == "http://board" and KeyFolder(records.folder("one")).mounted.is_dir()
    with pytest.raises(UsageError, match=r"--name one: .*\(board, running\); `gantline endpoint delete one`"):
        begin(what)
    assert update("one", Change("other", never)).model == "other" == records.get("one").model
    BOARD.fails.append(Unavailable("the new one fails"))
    with pytest.raises(Unavailable):
        update("one", Change("third", never))
    assert records.get("one").model == "other"
    delete(records.get("one"))
    assert not BOARD.running and records.names() == [] and not records.folder("one").exists()


@pytest.mark.parametrize("error", [Unavailable("not ready"), KeyboardInterrupt()])
def test_what_fails_leaves_nothing(home: Path, what: Subject, error: BaseException) -> None:
    BOARD.fails.append(error)
    with pytest.raises(type(error)):
        begin(what)
    assert not BOARD.running and Records.of_user().names() == []


def test_what_cannot_be_put_on_record_leaves_nothing(
    home: Path, what: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(records: Records, record: Record) -> None:
        records.made(record.name)
        raise Unavailable("no space left")

    monkeypatch.setattr(Records, "put", full)
    with pytest.raises(Unavailable):
        begin(what)
    assert not BOARD.running and not Records.of_user().folder("one").exists()


def test_what_cannot_be_taken_away_stays_on_record(home: Path, what: Subject) -> None:
    BOARD.fails += [Unavailable("not ready"), Unreachable("the engine is gone")]
    with pytest.raises(Unavailable, match=r"not ready; .*\(the engine is gone\): `gantline endpoint delete one`"):
        begin(what)
    record = Records.of_user().get("one")
    BOARD.fails.append(Unreachable("the engine is gone"))
    with pytest.raises(Unreachable):
        delete(record)
    assert BOARD.running == {"one"} and Records.of_user().names() == ["one"]
    delete(record)
    assert not BOARD.running and Records.of_user().names() == []


def test_a_record_of_what_is_gone_gives_way(home: Path, what: Subject) -> None:
    begin(what)
    BOARD.running.clear()
    said: list[str] = []
    begin(what, said)
    assert BOARD.running == {"one"} and "one had ended" in said[0]


def test_one_at_a_time(home: Path, what: Subject) -> None:
    with Records.of_user().claim("one"), pytest.raises(UsageError, match="another command"):
        begin(what)
