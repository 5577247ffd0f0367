"""Wheels built in a container: what is within reach there, what comes out, and what a failure says."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from gantline.builders.lock import workshop
from gantline.builders.lock.pylock import Lock
from gantline.builders.lock.recipe import Recipe

from gantline.blobs import sha256_file
from gantline.errors import BadArtefact
from gantline.home import home
from tests.engine import container_engine

from .sdist import archive, sdist
from .tiny import Index, package, serving_index, wheel

_BACKEND = """
import json, os, socket, subprocess, zipfile
def get_requires_for_build_wheel(settings): return ["seed"]
def build_wheel(folder, settings):
    import seed
    if os.path.exists("part.c"):
        subprocess.run(["cc", "-shared", "part.c"], check=True)
    mounts = [line.split()[4] for line in open("/proc/self/mountinfo")]
    status = dict(line.rstrip().split(":\\t") for line in open("/proc/self/status") if ":\\t" in line)
    facts = {
        "user": os.getuid(), "environment": dict(os.environ), "interfaces": [n for _, n in socket.if_nameindex()],
        "mounts": mounts, "capabilities": status["CapBnd"], "locked": status["NoNewPrivs"],
    }
    with zipfile.ZipFile(os.path.join(folder, "forest-2.0-py3-none-any.whl"), "w") as z:
        z.writestr("forest.json", json.dumps(facts))
        about = "forest-2.0.dist-info"
        told = ["Metadata-Version: 2.1", "Name: forest", "Version: 2.0", "Requires-Dist: native", ""]
        z.writestr(f"{about}/METADATA", "\\n".join(told))
        z.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        z.writestr(f"{about}/RECORD", "")
"""
_PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def test_only_what_is_expected_comes_out(tmp_path: Path) -> None:
    """Whoever is inside may write any tar."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name in ("out/../../away.whl", "/out/away.whl", "out/in/deep.whl", "out/away.txt", "out/oak-1-py3.whl"):
            info = tarfile.TarInfo(name)
            info.size = 3
            tar.addfile(info, io.BytesIO(b"oak"))
        link = tarfile.TarInfo("out/link.whl")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    file.seek(0)
    assert dict(workshop._unpack(file, tmp_path)) == {"oak-1-py3.whl": tmp_path / "oak-1-py3.whl"}
    assert [p.name for p in tmp_path.iterdir()] == ["oak-1-py3.whl"]
    with pytest.raises(BadArtefact, match="no tar"):
        list(workshop._unpack(io.BytesIO(b"x" * 1024), tmp_path))


def test_what_goes_in_is_nobodys(tmp_path: Path) -> None:
    source, tool = sdist(tmp_path, "oak", "1.0"), wheel(tmp_path, "seed")
    file = io.BytesIO()
    workshop._pack(file, source, Recipe.of(source), [tool], True)
    with tarfile.open(fileobj=file) as tar:
        members = {m.name: m for m in tar}
        told = tar.extractfile(members["build/job.json"])
        assert told is not None
        job = json.loads(told.read())
    assert {(m.uid, m.gid) for m in members.values()} == {(65532, 65532)}
    wanted = ("src/oak-1.0.tar.gz", f"wheels/{tool.name}", "out", "workshop_child.py")
    assert {f"build/{path}" for path in wanted} < set(members)
    assert job == {"requires": [], "backend": "backend", "path": ["."], "file": source.name, "settled": True}


def test_the_end_of_a_log_that_goes_on_and_on(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"begun" + b"x" * workshop.LONGEST_LOG)
    assert workshop._last_of(tmp_path / "log") == "x" * workshop.LONGEST_LOG
    (tmp_path / "log").write_bytes(b"a\xff")
    assert workshop._last_of(tmp_path / "log") == "a\ufffd"


@pytest.mark.parametrize("text", ["{", '{"a": 1}', "[1]"])
def test_requirements_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "requires.json").write_text(text)
    with pytest.raises(BadArtefact, match="what the backend requires"):
        workshop._more(tmp_path / "requires.json")


@pytest.mark.container
def test_from_source_to_lock(house: Path, base_tar: Path, tmp_path: Path) -> None:
    """What the first wheel requires is to be built too, and needs a compiler. What was built needs no engine again.

    The index has a password, which nothing inside sees.
    """
    served = tmp_path / "w"
    shutil.copytree(house, served)
    wheel(served, "seed")
    source = archive(served, "forest-2.0", {"pyproject.toml": _PROJECT, "backend.py": _BACKEND})
    archive(served, "native-1.0", {"pyproject.toml": _PROJECT, "backend.py": _BACKEND, "part.c": "int x;"})
    commit, line = _committed(tmp_path)
    package(tmp_path / "wood.pkg", ["forest", line])
    (tmp_path / "engine").mkdir()
    with serving_index(Index(served, login="me:secret")) as index:
        more = ("--index-url", index.with_login, "--builder", base_tar, "-o", "pylock.toml")
        with container_engine(tmp_path / "engine") as client:
            other = _as_if_killed(client)
            failed = _lock(tmp_path, f"unix://{tmp_path}/engine/engine.sock", *more)
            assert [one.id for one in client.containers.list(all=True)] == [other], "nothing but what is another's"
            assert len(client.images.list()) == 1
        assert failed.returncode != 0 and not (tmp_path / "pylock.toml").exists()
        log = home() / "build-logs" / "native-1.0.tar.gz.log"
        last = failed.stderr.strip().splitlines()[-1]
        assert f"'forest' (the package): native-1.0.tar.gz could not be built in {base_tar.name}: " in last
        assert "No such file or directory: 'cc'" in last and last.endswith(f"its whole log: {log}")
        assert "Traceback" in log.read_text()
        wheel(served, "native")
        again = _lock(tmp_path, "unix:///nowhere.sock", *more)
        assert again.returncode == 0, again.stderr
    text = (tmp_path / "pylock.toml").read_bytes()
    lock = Lock.from_bytes(text, "it")
    forest = next(p for p in lock.packages if p.name == "forest")
    assert "native" in {p.name for p in lock.packages} and b"secret" not in text and forest.source is not None
    assert forest.source.digest == sha256_file(source) and forest.source.url.endswith(f"/files/{source.name}")
    oak = next(p for p in lock.packages if p.name == "oak")
    assert oak.source is not None and oak.source.url == f"git+{(tmp_path / 'oak').as_uri()}@{commit}"
    with zipfile.ZipFile(home() / "wheels" / forest.digest.removeprefix("sha256:") / forest.file) as z:
        _check_bounds(json.loads(z.read("forest.json")), tmp_path)


def _committed(folder: Path) -> tuple[str, str]:
    """A commit of a project of git's, and the line that asks for it."""
    with tarfile.open(sdist(folder, "oak", "1.0")) as tar:
        tar.extractall(folder, filter="data")
    root = folder / "oak"
    (folder / "oak-1.0").rename(root)
    who = ("-c", "user.name=x", "-c", "user.email=x")
    for words in (("init", "--quiet"), ("add", "-A"), (*who, "commit", "--quiet", "-m", "one")):
        subprocess.run(["git", *words], cwd=root, check=True)
    told = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, check=True, capture_output=True, text=True)
    return told.stdout.strip(), f"oak @ git+{root.as_uri()}@{told.stdout.strip()}"


def _as_if_killed(client: Any) -> str:
    """What a process of this home has left, and one of another home: the other's ID."""
    (home() / "built").mkdir(parents=True, exist_ok=True)
    (home() / "built" / ".workshop.owner").write_text("mine")
    file = io.BytesIO()
    tarfile.open(fileobj=file, mode="w").close()
    client.api.import_image_from_data(file.getvalue(), repository="localhost/left", tag="1")
    (image,) = client.images.list()
    made = [client.containers.create(image.id, "x", labels={workshop.OWNER: of}) for of in ("mine", "theirs")]
    return str(made[1].id)


def _lock(folder: Path, engine: str, *more: str | Path) -> subprocess.CompletedProcess[str]:
    words = ["lock", "wood.pkg", "--python", "3.11", "--build-wheels-in", "container", "--engine-url", engine]
    command = [sys.executable, "-m", "gantline", *words, *map(str, more)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, timeout=300)


def _check_bounds(facts: Any, here: Path) -> None:
    assert facts["user"] == 65532 and facts["interfaces"] == ["lo"]
    assert set(facts["capabilities"]) == {"0"} and facts["locked"] == "1"
    assert "secret" not in json.dumps(facts["environment"])
    assert not any(str(here) in mount or mount.startswith(("/root", "/home")) for mount in facts["mounts"])
