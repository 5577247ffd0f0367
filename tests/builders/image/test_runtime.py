"""The part of Gantline that goes into an image."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from gantline.builders.image import places, runtime
from gantline.builders.image.entry import Entry

HERE = (sys.version_info[0], sys.version_info[1])


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    found = runtime.entries() + runtime.environment(places.ENVIRONMENT, HERE, "/usr/bin/python3")
    return runtime.with_bytecode(found, HERE)


def test_what_it_needs() -> None:
    names = {line.split(">")[0].split("=")[0] for line in runtime.requirements()}
    assert {"numpy", "onnxruntime", "uvicorn", "grpcio"} <= names
    assert not {"rich", "onnx", "skl2onnx", "pytest"} & names


def test_nothing_that_builds(entries: list[Entry]) -> None:
    paths = [e.path for e in entries]
    assert not [p for p in paths if "/builders/" in p or "cli/package" in p or "cli/demo" in p]
    for wanted in ("__init__.py", "serve/core.py", "accelerators/session.py", "cli/contained.py", "pb/gantline.binpb"):
        assert f"{places.LIBRARY}/gantline/{wanted}" in paths


def test_its_key_is_of_its_content() -> None:
    base = runtime.entries()
    one = base + runtime.environment(places.ENVIRONMENT, HERE, "/usr/bin/python3")
    other = base + runtime.environment(places.ENVIRONMENT, HERE, "/usr/local/bin/python3")
    assert runtime.key(one, HERE) == runtime.key(list(one), HERE) != runtime.key(other, HERE)
    later = (HERE[0], HERE[1] + 1)
    assert runtime.key(one, later) != runtime.key(one, HERE) and runtime.with_bytecode(one, later) == one


def test_it_serves_without_the_rest(entries: list[Entry], tmp_path: Path) -> None:
    """Laid out as in an image, by this interpreter: `gantline serve` starts up to its complaint."""
    for entry in entries:
        path = tmp_path / entry.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if entry.link:
            path.symlink_to(sys.executable)
        elif entry.open is not None:
            with entry.open() as f:
                path.write_bytes(f.read())
    code = (
        "import sys, gantline; sys.path_importer_cache.clear();"
        "from gantline.cli.contained import main; sys.exit(main(['/not/there'], {}))"
    )
    own = os.environ | {"PYTHONPATH": str(tmp_path / places.LIBRARY), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=own, check=False)
    assert "/not/there" in done.stderr and done.returncode == 3, done.stderr
