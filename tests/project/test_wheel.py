"""The wheel holds every source file under the name by which it is imported, and installs where nothing else is."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

DATA = ("py.typed", ".binpb", ".json", ".html", ".svg", ".css", ".js")


def installed_name(path: Path) -> str:
    """Where a source file lands: folder serve/ imports as gantline.serve."""
    name = path.as_posix()
    return name if path.parts[0] == "gantline" else f"gantline/{name}"


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the files, so that the working tree stays as it is."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (copy / name).write_bytes((root / name).read_bytes())
    for folder in ("gantline", "accelerators", "builders", "serve"):
        for path in (p for p in (root / folder).rglob("*") if p.is_file() and "__pycache__" not in p.parts):
            target = copy / path.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    out = tmp_path_factory.mktemp("wheel")
    words = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(out), str(copy)]
    subprocess.run([sys.executable, "-m", "pip", *words], check=True)
    (built,) = out.glob("gantline-*.whl")
    return built


def test_every_source_file_is_in_it(root: Path, sources: list[Path], wheel: Path) -> None:
    data = [
        p.relative_to(root)
        for folder in ("gantline", "accelerators", "builders", "serve")
        for p in (root / folder).rglob("*")
        if p.is_file() and p.name.endswith(DATA)
    ]
    wanted = {installed_name(p) for p in [*sources, *data]}
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == wanted


def test_every_folder_with_code_is_listed(root: Path, sources: list[Path], pyproject: dict[str, Any]) -> None:
    folders = {installed_name(p.parent).replace("/", ".") for p in sources}
    assert folders == set(pyproject["tool"]["setuptools"]["packages"])
    assert [str(p.parent) for p in sources if not (root / p.parent / "__init__.py").exists()] == []


def test_its_metadata(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (metadata,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
    text = archive.read(metadata).decode()
    assert "License-Expression: Apache-2.0" in text
    assert any(n.endswith("/licenses/LICENSE") for n in archive.namelist())
    (scripts,) = (n for n in archive.namelist() if n.endswith("entry_points.txt"))
    assert "gantline = gantline.cli:main" in archive.read(scripts).decode()


def test_it_runs_where_nothing_else_is_installed(wheel: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    venv.EnvBuilder(with_pip=False, symlinks=True).create(bare)
    python = bare / "bin" / "python"
    install = ["install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(python), *install], check=True)
    code = "import gantline, gantline.settings; print(gantline.__file__)"
    done = subprocess.run([str(python), "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).is_relative_to(bare)
    words = [str(bare / "bin" / "gantline"), "config", "--json"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert '"http_port"' in done.stdout
