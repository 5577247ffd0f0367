"""What holds an endpoint's ports: with an engine, in `test_container`; here its one process."""

from __future__ import annotations

import signal
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from gantline.builders.engine import anchor
from gantline.builders.engine.engine import Engine
from gantline.builders.engine.wish import NAME, Wish

from gantline.errors import Unavailable


class _Container:
    """Of an engine whose containers are in the host's network, whatever is said."""

    removed = False

    def __init__(self, options: dict[str, Any]) -> None:
        self.name, self.options = options["name"], options
        self.attrs = {"Config": {"Labels": options["labels"]}, "State": {"Status": "running"}}

    def start(self) -> None:
        pass

    reload = start

    def remove(self, force: bool) -> None:
        self.removed = force


def test_an_engine_that_publishes_nothing_is_not_trusted_with_it() -> None:
    """Else what shares the anchor's network would listen to everybody."""
    made: list[_Container] = []

    def create(image: str, **options: Any) -> _Container:
        made.append(_Container(options))
        return made[-1]

    engine = Engine("unix:///none", SimpleNamespace(containers=SimpleNamespace(create=create)))
    image: Any = SimpleNamespace(id="sha256:1", settings={"Entrypoint": ["/python", "-m"]}, model="iris")
    with pytest.raises(Unavailable, match=r"has published no port of one.ports; pass --network host"):
        anchor.begun(engine, image, "sha256:1", Wish("one"))
    (one,) = made
    assert one.removed and one.options["entrypoint"][0] == "/python" and one.options["labels"][NAME] == "one"
    assert one.options["read_only"] and one.options["cap_drop"] == ["ALL"]


def test_its_process_ends_when_told() -> None:
    told = anchor.PROGRAM.replace("s.sigwait", "print('waits', flush=True); s.sigwait") + "\nprint('told')"
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", told], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == b"waits\n"
            process.send_signal(signal.SIGTERM)
            assert process.communicate(timeout=20)[0] == b"told\n" and process.returncode == 0
        finally:
            process.kill()
