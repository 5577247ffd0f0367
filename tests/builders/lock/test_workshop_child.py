"""What runs inside a workshop, run here in a folder: by a Python without any library of ours."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from gantline.builders.lock import workshop_child

from .sdist import archive, sdist

CHILD = Path(str(workshop_child.__file__))
_ASKING = """
import os, shutil, subprocess, zipfile
def get_requires_for_build_wheel(settings):
    import seed
    return ["given", *seed.MORE]
def build_wheel(folder, settings):
    import fertiliser
    said = [subprocess.run([name], capture_output=True, text=True, check=True).stdout for name in ("sow", "reap")]
    with zipfile.ZipFile(os.path.join(folder, "oak-1.0-py3-none-any.whl"), "w") as z:
        z.writestr("oak.txt", "".join(said) + open(os.path.join(os.environ["VIRTUAL_ENV"], "share", "soil")).read())
"""


def job(work: Path, source: Path, backend: str, settled: bool = False, requires: Sequence[str] = ()) -> Path:
    """A folder of work as a workshop packs it."""
    for name in ("src", "wheels", "out"):
        (work / name).mkdir(parents=True)
    shutil.copy(source, work / "src")
    shutil.copy(CHILD, work)
    told = {"file": source.name, "backend": backend, "path": ["."], "requires": list(requires), "settled": settled}
    (work / "job.json").write_text(json.dumps(told))
    return work


def run(work: Path) -> int:
    words = [sys.executable, "-I", "-B", str(work / CHILD.name), str(work)]
    return subprocess.run(words, check=False, timeout=60).returncode


def tool(folder: Path, name: str, files: dict[str, str]) -> None:
    """A wheel of a build's tools."""
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as z:
        for inside, text in files.items():
            z.writestr(inside, text)


def test_a_wheel(tmp_path: Path) -> None:
    work = job(tmp_path / "w", sdist(tmp_path, "forest", "2.0"), "backend")
    assert run(work) == 0
    assert sorted(p.name for p in (work / "out").iterdir()) == ["build.log", "forest-2.0-py3-none-any.whl"]


def test_a_failure_and_its_log(tmp_path: Path) -> None:
    work = job(tmp_path / "w", sdist(tmp_path, "forest", "2.0", broken=True), "backend")
    assert run(work) == 1
    assert (work / "out" / "build.log").read_text().splitlines()[-1] == "the compiler says no"


def test_tools_and_what_the_backend_asks_for_besides(tmp_path: Path) -> None:
    """Programs of all kinds that wheels have, data beside them, and two rounds."""
    source = archive(tmp_path, "oak-1.0", {"backend.py": _ASKING})
    first = job(tmp_path / "a", source, "backend", requires=["given"])
    tool(first / "wheels", "seed", {"seed.py": "MORE = ['fertiliser>=1']\n"})
    assert run(first) == 0
    assert json.loads((first / "out" / "requires.json").read_text()) == ["fertiliser>=1"]
    second = job(tmp_path / "b", source, "backend", settled=True)
    tool(second / "wheels", "seed", {
        "seed.py": "def main(): print('sown')\n",
        "seed-1.0.dist-info/entry_points.txt": "[console_scripts]\nsow = seed:main [x]\n[other]\nx = y\n",
    })  # fmt: skip
    tool(second / "wheels", "fertiliser", {
        "fertiliser.py": "",
        "fertiliser-1.0.data/scripts/reap": "#!python\nimport seed\nprint('reaped')\n",
        "fertiliser-1.0.data/data/share/soil": "soil",
    })  # fmt: skip
    assert run(second) == 0, (second / "out" / "build.log").read_text()
    with zipfile.ZipFile(second / "out" / "oak-1.0-py3-none-any.whl") as z:
        assert z.read("oak.txt").decode() == "sown\nreaped\nsoil"
