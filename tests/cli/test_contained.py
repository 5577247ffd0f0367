"""What an image starts, and how it tells whether it is well."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from gantline.cli.contained import find_room, healthy, translate

from .test_serve import save


@pytest.mark.parametrize(
    ("given", "port"),
    [
        ({"PORT": "8080"}, "8080"),
        ({"PORT": "8080", "GANTLINE_HTTP_PORT": "9000"}, "9000"),
        ({"PORT": ""}, None),
        ({}, None),
    ],
)
def test_the_port_that_a_platform_says(given: dict[str, str], port: str | None) -> None:
    translate(given)
    assert given.get("GANTLINE_HTTP_PORT") == port


def test_health_is_readiness(tmp_path: Path, serving: Callable[..., AbstractContextManager[str]]) -> None:
    with serving(save(tmp_path / "neg.onnx")) as url:
        port = url.rpartition(":")[2]
        assert healthy({"PORT": port})
        words = [sys.executable, "-m", "gantline.cli.contained", "--healthy"]
        done = subprocess.run(words, env=os.environ | {"PORT": port}, check=False, timeout=20)
        assert done.returncode == 0
    assert not healthy({"PORT": port}), "nobody answers any more"
    done = subprocess.run(words, env=os.environ | {"PORT": port}, check=False, timeout=20)
    assert done.returncode == 1


def test_a_server_does_not_import_what_asks_servers() -> None:
    modules = "import sys, gantline.cli.contained, gantline.cli.serve"
    code = f"{modules}; print([m for m in ('http.client', 'ssl') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"


def test_where_nothing_can_be_written_but_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    variables: dict[str, str] = {}
    find_room(variables)
    assert variables == {}, "there is room here"
    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    find_room(variables)
    assert variables == {"TMPDIR": "/dev/shm"}


def test_a_mistake_is_one_line() -> None:
    words = [sys.executable, "-m", "gantline.cli.contained", "/not/there"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1 and "/not/there" in done.stderr
