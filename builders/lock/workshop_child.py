"""Run inside a workshop's container, by its Python alone: unpacks a source archive and has its backend build it.

`/build/job.json` says how; wheels of what the build needs are in `/build/wheels`; what comes out is in `/build/out`: a
wheel, or `requires.json`, what the backend asks for besides (PEP 517), and `build.log`.
"""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

MORE, WHEEL = "requires", "wheel"  # what the backend is called for, each in a process of its own
_PROGRAM = "#!{}\nimport sys\nfrom {} import {}\nsys.exit({}())\n"


def main(work: Path) -> int:
    """0: there is a wheel, or a list of what else is needed; else the backend's exit status."""
    job = json.loads((work / "job.json").read_text("utf-8"))
    log = os.open(work / "out" / "build.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    python = environment(work / "env", sorted((work / "wheels").glob("*.whl")))
    source = unpacked(work / "src" / job["file"], work / "tree")
    variables = {
        **os.environ, "HOME": str(work), "TMPDIR": str(work), "VIRTUAL_ENV": str(work / "env"),
        "PATH": f"{work / 'env' / 'bin'}:{os.environ.get('PATH') or os.defpath}",
        # what a compiler writes into its output does not depend on when it was run
        "SOURCE_DATE_EPOCH": "315532800",
    }  # fmt: skip
    for step in (WHEEL,) if job["settled"] else (MORE, WHEEL):
        words = [str(python), __file__, str(work), step]
        status = subprocess.run(words, cwd=source, env=variables, stdin=subprocess.DEVNULL, check=False).returncode
        if status or (work / "out" / "requires.json").exists():
            return status
    return 0


def environment(at: Path, wheels: list[Path]) -> Path:
    """The Python of a virtual environment with these wheels, made without pip."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    site, python = at / "lib" / f"python{version}" / "site-packages", at / "bin" / "python"
    for folder in (site, python.parent):
        folder.mkdir(parents=True)
    base = os.path.realpath(sys.executable)
    home = os.path.dirname(base)
    (at / "pyvenv.cfg").write_text(f"home = {home}\ninclude-system-site-packages = false\nversion = {version}\n")
    for name in ("python", "python3", f"python{version}"):
        (at / "bin" / name).symlink_to(base)
    for wheel in wheels:
        install(wheel, at, site, python)
    return python


def install(wheel: Path, at: Path, site: Path, python: Path) -> None:
    """Put a wheel's files where PEP 427 has them, and its programs into `bin`."""
    places = {"scripts": at / "bin", "data": at, "headers": at / "include"}
    with zipfile.ZipFile(wheel) as z:
        for member in z.infolist():
            if member.is_dir():
                continue
            folder, name, kind = site, member.filename, ""
            if name.partition("/")[0].endswith(".data"):
                _, kind, name = name.split("/", 2)
                folder = places.get(kind, site)
            data = z.read(member)
            if kind == "scripts" and data.startswith(b"#!python"):
                data = f"#!{python}".encode() + data[len(b"#!python") :]
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            if kind == "scripts" or (member.external_attr >> 16) & 0o111:
                target.chmod(0o755)
            if name.endswith(".dist-info/entry_points.txt"):
                _programs(data.decode("utf-8"), at, python)


def _programs(text: str, at: Path, python: Path) -> None:
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names of programs have capitals
    parser.read_string(text)
    for name, value in parser.items("console_scripts") if parser.has_section("console_scripts") else ():
        module, _, called = value.partition("[")[0].strip().partition(":")
        program = at / "bin" / name
        program.write_text(_PROGRAM.format(python, module, called.partition(".")[0], called))
        program.chmod(0o755)


def unpacked(archive: Path, into: Path) -> Path:
    """The one folder that a source archive holds."""
    into.mkdir()
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as z:
            z.extractall(into)
    else:
        with tarfile.open(archive) as tar:
            if hasattr(tarfile, "data_filter"):
                tar.extractall(into, filter="data")
            else:  # an older Python, which knows no filters; there is nothing here to be overwritten
                tar.extractall(into)
    inside = [path for path in into.iterdir() if path.is_dir()]
    return inside[0] if len(inside) == 1 else into


def called(work: Path, step: str) -> int:
    """In the source's folder and by the environment's Python: ask the backend for one thing."""
    job = json.loads((work / "job.json").read_text("utf-8"))
    # only what the source names itself comes before what is installed
    sys.path[:1] = [os.path.join(os.getcwd(), folder) for folder in job["path"]]
    module, _, inside = job["backend"].partition(":")
    backend: Any = import_module(module)
    for name in filter(None, inside.split(".")):
        backend = getattr(backend, name)
    if step == WHEEL:
        backend.build_wheel(str(work / "out"), {})
        return 0
    ask: Any = getattr(backend, "get_requires_for_build_wheel", lambda settings: [])
    if more := [line for line in ask({}) if line not in job["requires"]]:
        (work / "out" / "requires.json").write_text(json.dumps(more))
    return 0


if __name__ == "__main__":
    at = Path(sys.argv[1])
    sys.exit(called(at, sys.argv[2]) if len(sys.argv) > 2 else main(at))
