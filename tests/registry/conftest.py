"""Packages to register, and both kinds of registry: a directory, and a PostgreSQL server of our own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper

from gantline.manifest import Manifest, SourceInfo
from gantline.packages import Package, seal
from gantline.registry import checkout
from gantline.registry.registry import Registry

# `make(name, factor, lineage)` gives a sealed package whose model multiplies by `factor`
MakePackage = Callable[..., Package]
LetGo = Callable[[str], None]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of this test's own, and nothing from outside."""
    for name in ("GANTLINE_REGISTRY", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def let_go() -> LetGo:
    """Forget that this process uses a package, as if it had ended."""
    return lambda digest: checkout._LEASES.pop(checkout._leases(digest)).file.close()


@cache
def _model(factor: float) -> bytes:
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 3]) for n in "xy")
    by = helper.make_tensor("by", TensorProto.FLOAT, [], [factor])
    graph = helper.make_graph([helper.make_node("Mul", ["x", "by"], ["y"])], "g", [x], [y], [by])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.fixture
def make(tmp_path: Path) -> MakePackage:
    def package(name: str = "iris", factor: float = 2, framework: str = "sklearn", **lineage: Any) -> Package:
        root = Path(tempfile.mkdtemp(dir=tmp_path, prefix=f"{name}-"))
        (root / "model.onnx").write_bytes(_model(factor))
        (root / "notes").mkdir()
        (root / "notes" / "a.txt").write_text("the same in all of them\n")
        return seal(root, Manifest(name, "onnx", "model.onnx", source=SourceInfo(framework)), lineage)

    return package


def postgres_programs() -> dict[str, str]:
    """initdb and postgres, where Debian puts them or on the path; empty without them."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    path = os.pathsep.join([*map(str, reversed(folders)), os.environ["PATH"]])
    found = {name: shutil.which(name, path=path) for name in ("initdb", "postgres")}
    return {name: str(where) for name, where in found.items() if where}


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """A server on a socket in a folder of its own; the folder. Skipped where PostgreSQL is not installed."""
    programs = postgres_programs()
    if len(programs) < 2:
        pytest.skip("no PostgreSQL server here: apt-get install postgresql")
    user = "postgres" if os.geteuid() == 0 else None  # the server refuses to be root's
    folder = Path(tempfile.mkdtemp(prefix="gantline-pg-"))
    if user:
        shutil.chown(folder, user)
    data = folder / "data"
    made = [programs["initdb"], "-D", str(data), "-U", "gantline", "-A", "trust", "--no-sync", "-E", "UTF8"]
    subprocess.run(made, user=user, cwd=folder, check=True, capture_output=True)
    settings = [f"unix_socket_directories={folder}", "listen_addresses=", "fsync=off", "max_connections=50"]
    words = [programs["postgres"], "-D", str(data), *(word for s in settings for word in ("-c", s))]
    with subprocess.Popen(words, user=user, cwd=folder, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            for line in server.stderr:
                if "ready to accept connections" in line:
                    break
            else:
                pytest.fail("PostgreSQL did not start")
            yield str(folder)
        finally:
            server.send_signal(signal.SIGQUIT)  # at once: nothing of it is kept
            server.communicate(timeout=30)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=[pytest.mark.slow, pytest.mark.container])])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A registry that is not made yet: each test that takes this runs on both."""
    if request.param == "sqlite":
        return str(tmp_path / "registry")
    import psycopg

    folder, name = request.getfixturevalue("postgresql"), f"t{uuid.uuid4().hex}"
    with psycopg.connect(f"host={folder} user=gantline dbname=postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    url = f"postgresql://gantline@/{name}?host={folder}"
    with Registry.open(url) as registry:
        assert registry.make(str(tmp_path / "team-blobs"))
    return url


@pytest.fixture
def registry(where: str) -> Iterator[Registry]:
    with Registry.open(where, who="ann@test") as opened:
        yield opened
