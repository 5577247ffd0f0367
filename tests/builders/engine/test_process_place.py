"""Endpoints without an engine: started, asked, changed under load, found dead, ended."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

import pytest
from gantline.builders.engine.awaiting import until
from gantline.builders.engine.process_place import ProcessPlace
from gantline.builders.engine.record import Deployed, Record, Records
from gantline.builders.engine.wish import Wish

import gantline
from gantline.client import Client
from gantline.errors import GantlineError, Unavailable, Unsupported

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="images without an engine are for Linux")
ROW = [[5.1, 3.5, 1.4, 0.2]]


def test_a_record_whose_server_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path))
    place, records = ProcessPlace(), Records.of_user()
    details = {"seat": "seat-1", "wish": Wish("one", 1, 2).to_json()}
    record = Record("one", "process", "", "iris", (Deployed("main", "iris:1", "sha256:1"),), details=details)
    records.put(record)
    assert place.status(record).state == "gone" and place.used() == set()
    seat = records.folder("one") / "seat-1"
    seat.mkdir()
    (seat / "running").touch()
    (seat / "pid").write_text(str(os.getpid()))  # a number that came again
    (seat / "log").write_text("gantline serve: error: no room\n")
    found = place.status(record)
    assert found.state == "exited" and found.why == "killed, or the machine was started anew" and not found.url
    (seat / "ended").write_text("1")
    assert place.status(record).why == "exit status 1: gantline serve: error: no room"
    (seat / "ended").write_text("-9")
    assert place.status(record).why == "killed by signal 9"
    with records.claim("one"):
        assert place.used() == {"sha256:1", ""}  # it is being started
    place.delete(record)
    assert not seat.exists()
    place.delete(record)


@pytest.mark.container
def test_from_start_to_end(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One start for all, since each takes seconds: keys, two runs of one name, a change that fails, one under load."""
    monkeypatch.setenv("GANTLINE_HOME", str(home))
    running = gantline.run("iris", engine=False, keys=True)
    try:
        assert running.infer(ROW)["label"].tolist() == [0] and running.status.state == "running"
        with Client(running.url) as stranger, pytest.raises(GantlineError, match="key"):
            stranger.infer("iris", ROW)
        with pytest.raises(GantlineError, match="there is an endpoint of that name"):
            gantline.run("iris", engine=False)
        with pytest.raises(Unsupported, match="--memory"):
            gantline.run("iris", engine=False, name="other", memory="1GB")
        before = running.url
        with pytest.raises(Unavailable, match="GANTLINE_WORKERS"):
            running.update(variables={"GANTLINE_WORKERS": "many"})
        errors: list[BaseException] = []
        done = threading.Event()

        def ask() -> None:
            while not done.is_set():
                try:
                    running.infer(ROW)
                except BaseException as e:
                    errors.append(e)
                done.wait(0.005)

        clients = [threading.Thread(target=ask) for _ in range(4)]
        for client in clients:
            client.start()
        running.update(variables={"GANTLINE_LOG_LEVEL": "debug"})
        done.set()
        for client in clients:
            client.join()
        assert not errors and running.url == before
        (seat,) = Records.of_user().folder("iris").glob("seat-*")
        assert '"GANTLINE_LOG_LEVEL": "debug"' in json.dumps(Records.of_user().get("iris").details)
        assert "golden sample" in running.logs()
        assert "chmod" not in running.logs(), "its file of keys holds digests, and is not its own"
        os.kill(int((seat / "pid").read_text()), signal.SIGKILL)
        until(lambda: running.status.state == "exited", 30, lambda: False, running.logs, "its end")
    finally:
        running.stop()
    assert Records.of_user().names() == []
