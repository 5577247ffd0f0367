"""Environments are made once, whole or not at all, and show a child nothing of ours but Gantline."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from gantline.accelerators.script.environment import MARKER, prepare

from gantline.errors import Unavailable, UsageError
from gantline.manifest import EnvironmentRequest


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A directory with one small real wheel, so that these tests need no network."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "tinything-1.0-py3-none-any.whl", "w") as z:
        info = "tinything-1.0.dist-info"
        z.writestr("tinything.py", "ANSWER = 42\n")
        z.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tinything\nVersion: 1.0\n")
        z.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr(f"{info}/RECORD", f"tinything.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return folder


def request_for(wheels: Path, *more: str) -> EnvironmentRequest:
    """Hash-pinned, so that numpy is not added to it."""
    digest = hashlib.sha256((wheels / "tinything-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    lines = ("--no-index", f"--find-links {wheels}", f"tinything==1.0 --hash=sha256:{digest}", *more)
    return EnvironmentRequest("requirements", "", lines)


def test_current_is_this_interpreter() -> None:
    found = prepare(EnvironmentRequest())
    assert found.python == Path(sys.executable)
    assert found.variables({"PYTHONPATH": "x", "GANTLINE_KEY": "a secret"}) == {"PYTHONPATH": "x"}


def test_in_an_image_it_is_the_one_that_was_built_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is installed there; where it is another than the server's, Gantline comes by the path."""
    asked = EnvironmentRequest("requirements", "", ("no-such-distribution==1",))
    monkeypatch.setenv("GANTLINE_SCRIPT_PYTHON", sys.executable)
    assert prepare(asked, home=tmp_path).source is None
    monkeypatch.setenv("GANTLINE_SCRIPT_PYTHON", "/opt/gantline/script-env/bin/python")
    found = prepare(asked, home=tmp_path)
    assert found.python == Path("/opt/gantline/script-env/bin/python")
    assert found.source is not None and (found.source / "gantline" / "__init__.py").exists()
    assert list(tmp_path.iterdir()) == []


def test_made_once(tmp_path: Path, wheels: Path) -> None:
    log: list[str] = []
    request = request_for(wheels)
    first = prepare(request, log.append, tmp_path / "home", hosting=False)
    assert first.packages["tinything"] == "1.0"
    assert any("tinything" in line for line in log)
    said = len(log)
    again = EnvironmentRequest("requirements", "", tuple(reversed(request.requirements)))
    assert prepare(again, log.append, tmp_path / "home", hosting=False) == first
    assert len(log) == said
    out = subprocess.check_output(
        [first.python, "-c", "import tinything; print(tinything.ANSWER)"], env=first.variables(os.environ)
    )
    assert out.strip() == b"42"
    base = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}  # our own packages must not show
    command = [str(first.python), "-c", "import numpy"]
    done = subprocess.run(command, env=first.variables(base), capture_output=True, check=False)
    assert b"No module named 'numpy'" in done.stderr


def test_a_failure_names_the_requirement_and_leaves_nothing(tmp_path: Path, wheels: Path) -> None:
    line = "not-there-at-all==9.9 --hash=sha256:" + "0" * 64
    with pytest.raises(Unavailable, match=r"cannot install not-there-at-all==9\.9: pip says:") as e:
        prepare(request_for(wheels, line), lambda _: None, tmp_path / "home", hosting=False)
    assert "\n" not in e.value.message
    assert [p for p in (tmp_path / "home/environments").iterdir() if p.is_dir()] == []


@pytest.mark.slow
def test_constraints_hold_down_and_ask_for_nothing(tmp_path: Path, wheels: Path) -> None:
    digest = hashlib.sha256((wheels / "tinything-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    found = prepare(
        request_for(wheels, f"-c tinything>=1 --hash=sha256:{digest}", "-c absent==3"),
        lambda _: None, tmp_path / "home", hosting=False,
    )  # fmt: skip
    assert found.packages == {"tinything": "1.0"}
    with pytest.raises(Unavailable, match=r"cannot install .*tinything"):
        prepare(request_for(wheels, "-c tinything>1"), lambda _: None, tmp_path / "home", hosting=False)


@pytest.mark.slow
def test_a_half_made_one_is_made_again(tmp_path: Path, wheels: Path) -> None:
    request = request_for(wheels)
    made = prepare(request, lambda _: None, tmp_path / "home", hosting=False)
    (made.python.parent.parent / MARKER).unlink()  # as a killed process would leave it
    log: list[str] = []
    again = prepare(request, log.append, tmp_path / "home", hosting=False)
    assert again == made
    assert log


@pytest.mark.slow
def test_two_processes_make_it_once(tmp_path: Path, wheels: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from gantline.manifest import EnvironmentRequest as R;"
        "from gantline.accelerators.script.environment import prepare\n"
        "log = []; e = prepare(R('requirements', '', tuple(sys.argv[2:])), log.append, Path(sys.argv[1]), False)\n"
        "print(any('Successfully installed' in x for x in log))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "home"), *request_for(wheels).requirements]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    made = sorted(p.communicate()[0].strip() for p in both)
    assert [p.returncode for p in both] == [0, 0]
    assert made == [b"False", b"True"]


def test_a_host_needs_numpy(tmp_path: Path, wheels: Path) -> None:
    with pytest.raises(UsageError, match="must hold numpy"):
        prepare(request_for(wheels), lambda _: None, tmp_path / "home")


def test_pythons_that_are_not_there(tmp_path: Path) -> None:
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    with pytest.raises(UsageError, match=rf"Python 3\.99 is asked for; on PATH there is .*{own}"):
        prepare(EnvironmentRequest("requirements", "3.99", ()), home=tmp_path)
    with pytest.raises(UsageError, match="or newer"):
        prepare(EnvironmentRequest("requirements", "3.8", ()), home=tmp_path)


@pytest.mark.slow
def test_gantline_is_importable_in_it(tmp_path: Path) -> None:
    """With numpy and nothing else of ours: neither onnxruntime nor the test's own packages."""
    found = prepare(EnvironmentRequest("requirements", "", ("numpy",)), lambda _: None, tmp_path)
    code = (
        "import gantline.accelerators.script, gantline.tensors, importlib.util as u\n"
        "print([n for n in ('onnxruntime', 'pytest', 'starlette', 'tests') if u.find_spec(n)])"
    )
    out = subprocess.check_output([found.python, "-c", code], env=found.variables(os.environ), cwd=tmp_path)
    assert out.strip() == b"[]"
    assert set(found.packages) == {"numpy"}
    view = found.source
    assert view is not None
    assert [p.name for p in view.iterdir()] == ["gantline"]
