"""What `gantline.run` gives, where its server is gone; with a server: `test_process_place`."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest
from gantline.builders.engine.process_place import ProcessPlace
from gantline.builders.engine.record import Deployed, Record, Records
from gantline.builders.engine.running import Running, answering, key_of
from gantline.builders.engine.subject import Subject

from gantline.api import noting
from gantline.cli import main
from gantline.errors import Unavailable
from gantline.oci.platforms import Platform
from gantline.registry.registry import Registry


def never(ref: str, platform: Platform) -> Subject:
    raise AssertionError(ref)


def test_one_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path))
    record = Record("one", "process", "", "iris", (Deployed("main", "iris:1"),), "http://127.0.0.1:1")
    Records.of_user().put(record)
    with Running(record, never) as running:
        assert not running.changed()
        record = replace(record, model="another")
        Records.of_user().put(record)
        assert running.changed() and running.model == "another" and not running.changed()
        assert repr(running) == "Running('one', 'http://127.0.0.1:1')"
        assert running.status.state == "gone" and running.logs() == "" and running.key is None
        with pytest.raises(Unavailable, match=r"endpoint one: gone .*; see `gantline endpoint logs one`"):
            answering(record)
    assert Records.of_user().names() == []
    running.stop()


def test_a_registry_is_told_until_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path))
    package, image = (f"sha256:{c * 64}" for c in "12")
    record = Record("one", "process", "", "iris", (Deployed("main", "iris:1", image, package),), "http://127.0.0.1:1")

    def deployed() -> list[str]:
        with Registry.open() as registry:
            return [v for link in registry.trace(image).links if link.what == "deployment" for v in link.values]

    with Registry.open() as registry:
        registry.record_image(package, image, id="", name="iris:1", platform="linux/amd64")
    for by_itself in (True, False):
        Records.of_user().put(record)
        running = Running(record, never, noting("", print))
        assert deployed() == []
        running.note()
        assert deployed() == [f"one/main@{socket.gethostname()} on process"]
        if by_itself:
            running.stop()
        else:
            assert main(["endpoint", "delete", "one"]) == 0
        assert deployed() == [] and Records.of_user().names() == []


def test_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path))
    (tmp_path / "endpoints" / "one").mkdir(parents=True)
    (tmp_path / "endpoints" / "one" / "primary.key").write_text("s3cret\n")
    record = Record("one", "process", "", "iris", (), keys="own")
    assert key_of(record) == "s3cret" and ProcessPlace().keys(record) == tmp_path / "endpoints" / "one" / "keys"
