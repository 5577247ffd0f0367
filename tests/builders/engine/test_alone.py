"""An image without a container engine: in namespaces, and on this machine's Python."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from gantline.builders.engine import alone
from gantline.builders.engine.alone import command
from gantline.builders.engine.awaiting import ready, until
from gantline.builders.engine.seat import Seat
from gantline.builders.engine.unpack import unpacked
from gantline.builders.engine.wish import Wish, settled

from gantline.client import Client
from gantline.oci.image import Image
from gantline.oci.store import Store

pytestmark = [pytest.mark.container, pytest.mark.skipif(sys.platform != "linux", reason="images are for Linux")]


@contextmanager
def typed(home: Path, *words: str) -> Iterator[tuple[dict[str, Any], subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "gantline", "run", "iris", "--no-engine", "--port", "0", "--json", *words]
    own = os.environ | {"GANTLINE_HOME": str(home)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=own) as process:
        try:
            assert process.stdout is not None
            lines: list[str] = []
            while not lines or lines[-1] != "}\n":
                lines.append(process.stdout.readline())
                assert lines[-1], process.communicate()[1]
            yield json.loads("".join(lines)), process
        finally:
            process.kill()


def test_in_namespaces_as_nobody_on_a_root_that_is_read_only(home: Path) -> None:
    with typed(home) as (found, process):
        with Client(found["url"]) as client:
            assert client.infer("iris", [[5.1, 3.5, 1.4, 0.2]])["label"].tolist() == [0]
        assert process.stderr is not None
        said = process.stderr.readline()  # its log, before it is told to end
        process.send_signal(signal.SIGTERM)
        said += process.communicate(timeout=60)[1]
    assert process.returncode == 0
    if "not in namespaces" in said:
        pytest.skip(said)
    assert "golden sample held" in said


def test_what_is_in_there_sees_and_changes_nothing(home: Path) -> None:
    store = Store(home / "store")
    (descriptor,) = [store.names()["iris:latest"]]
    root = unpacked(store, Image.open(store, descriptor), home / "rootfs")
    code = (
        "import os, json; s = open('/proc/self/status').read()\n"
        "try: open('/x', 'w'); wrote = True\nexcept OSError: wrote = False\n"
        "print(json.dumps([os.getuid(), wrote, 'CapEff:\\t0000000000000000' in s, 'NoNewPrivs:\\t1' in s, "
        f"os.path.exists({str(home)!r})]))"
    )
    done = subprocess.run(
        [*alone._jail(root), "/opt/gantline/env/bin/python", "-c", code], capture_output=True, text=True, check=False
    )
    if done.returncode == 125:
        pytest.skip(done.stderr)
    assert json.loads(done.stdout) == [65532, False, True, True, False], done.stderr


def test_namespaces_that_take_too_long_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alone, "_PROBE_S", 0.001)  # less than it takes to start Python
    assert alone._refused(tmp_path) == "no answer within 0.001 s"


def test_elsewhere_on_this_machines_python(
    home: Path, monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int]
) -> None:
    """Where a system refuses namespaces; asked for here, since this one may not."""
    monkeypatch.setattr(alone, "_refused", lambda root: "Operation not permitted")
    store = Store(home / "store")
    image = Image.open(store, store.names()["iris:latest"])
    root = unpacked(store, image, home / "rootfs")
    said: list[str] = []
    wish = settled(Wish("iris", free_port(), 0))
    words, variables = command(root, image, wish, said.append)
    assert "not in namespaces (Operation not permitted)" in said[0] and "not isolated" in said[0]
    seat = Seat(home / "seat")
    seat.start(words, variables)
    try:
        until(lambda: ready(f"http://127.0.0.1:{wish.port}"), 60, lambda: not seat.runs, seat.log, "it")
        with Client(f"http://127.0.0.1:{wish.port}") as client:
            assert client.infer("iris", [[6.7, 3.0, 5.2, 2.3]])["label"].tolist() == [2]
    finally:
        seat.stop()
