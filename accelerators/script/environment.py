"""Environment: from what a package asks for to an interpreter that has it, made once and kept."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import gantline
from gantline.blobs import canonical_json
from gantline.errors import Unavailable, UsageError
from gantline.file_lock import only_one
from gantline.home import home as users_home
from gantline.manifest import EnvironmentRequest

from .request_file import CONSTRAINT, read_request

__all__ = ["Environment", "prepare", "read_request"]

Log: TypeAlias = Callable[[str], None]
SCRIPT_PYTHON = "GANTLINE_SCRIPT_PYTHON"  # the interpreter of every script, whatever it asks for
MARKER = "gantline-environment.json"  # written last: an environment without it is not one
_WAITING = "environment: waiting for another process that makes the same environment"
OLDEST = (3, 11)  # that runs Gantline's own code
_FACTS = (
    "import json,platform,sys,sysconfig;"
    "print(json.dumps([list(sys.version_info[:3]),platform.python_implementation(),sysconfig.get_platform()]))"
)
_VERSIONS = (
    "import json;from importlib.metadata import distributions as d;"
    "print(json.dumps({x.metadata['Name'].lower():x.version for x in d() if x.metadata['Name']}))"
)
_IS_NUMPY = re.compile(r"numpy(?![\w.-])", re.IGNORECASE)
_CULPRITS = (
    r"No matching distribution found for (\S+)",
    r"satisfies the requirement (\S+)",
    r"Cannot install (.+?) because",
    r"Invalid requirement: '?([^':]+)",
    r"Failed building wheel for (\S+)",
    r"(?:Failed to build|installable wheels for .*: )\(?(\S+?)\)?$",
)
_logger = logging.getLogger("gantline.environment")


def tell(line: str) -> None:
    """The default log: what takes the user's time is a warning, so that it is seen unasked; pip's lines are info."""
    _logger.log(logging.WARNING if line.startswith("environment: ") else logging.INFO, "%s", line)


@dataclass(frozen=True, slots=True)
class Environment:
    """An interpreter, and where Gantline's own source is for it (None: the interpreter has it already)."""

    python: Path
    source: Path | None = None
    packages: Mapping[str, str] = field(default_factory=dict)  # what was installed; empty for the current interpreter

    def variables(self, base: Mapping[str, str]) -> dict[str, str]:
        """The environment variables of a child: `base`, without paths into another interpreter's packages.

        Nor does a script get the key with which whoever started the server asks servers.
        """
        out = {name: value for name, value in base.items() if name != "GANTLINE_KEY"}
        if self.source is not None:
            for name in ("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"):
                out.pop(name, None)
            out["PYTHONPATH"] = str(self.source)
            out["PYTHONNOUSERSITE"] = "1"
        return out


def prepare(
    request: EnvironmentRequest, log: Log = tell, home: Path | None = None, hosting: bool = True
) -> Environment:
    """The environment that a package asks for; made when it is not there yet, which takes pip's time.

    `home` is GANTLINE_HOME (default `~/.gantline`). `hosting` false: the child does not import Gantline, so that older
    Pythons do too. UsageError: no such Python; Unavailable: pip failed, naming the requirement; nothing is left then.
    """
    if hosting and (made := os.environ.get(SCRIPT_PYTHON)):  # in an image, which was built with it
        own = made == sys.executable
        return Environment(Path(made), None if own else Path(gantline.__path__[0]).parent)
    if request.kind == "current":
        return Environment(Path(sys.executable))
    python, facts = _find_python(request.python, hosting)
    home = home or users_home()
    lines = _normalised(request.requirements)
    if hosting and not any(_IS_NUMPY.match(x) for x in lines):
        raise UsageError("environment: a list with hashes must hold numpy too, which the script host needs")
    key = canonical_json({"format": 1, "python": facts, "requirements": lines})
    target = home / "environments" / hashlib.sha256(key).hexdigest()[:24]
    found = _read_marker(target)
    if found is None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with only_one(target.with_suffix(".lock"), lambda: log(_WAITING)):
            found = _read_marker(target)  # another process may have made it meanwhile
            if found is None:
                found = _build(target, python, lines, log)
    source = _source_view(home) if hosting else home / "imports" / "none"
    return Environment(_executable(target), source, found)


def _normalised(requirements: tuple[str, ...]) -> list[str]:
    """Sorted, without repeats, and with numpy, which the script host needs (not among hashes: pip refuses)."""
    lines = sorted({" ".join(r.split()) for r in requirements if r.strip()}, key=lambda x: (x.startswith("-"), x))
    if not any(_IS_NUMPY.match(x) for x in lines) and not any("--hash" in x for x in lines):
        lines.append("numpy")
    return lines


def _find_python(wanted: str, hosting: bool) -> tuple[Path, list[Any]]:
    own = ".".join(map(str, sys.version_info[:2]))
    minor = ".".join((wanted or own).split(".")[:2])
    if hosting and tuple(int(x) for x in re.findall(r"\d+", minor)[:2]) < OLDEST:
        raise UsageError(f"environment: Python {minor} is asked for; scripts run on 3.11 or newer")
    if minor == own:
        return Path(sys.executable), _facts(sys.executable) or []
    seen = {own}
    for name in (f"python{minor}", "python3", "python"):
        path = shutil.which(name)
        facts = _facts(path) if path else None
        if path and facts:
            found = ".".join(map(str, facts[0][:2]))
            if found == minor:
                return Path(path), facts
            seen.add(found)
    raise UsageError(
        f"environment: Python {minor} is asked for; on PATH there is {', '.join(sorted(seen))}: install Python {minor} "
        "or change the request"
    )


def _facts(python: str) -> list[Any] | None:
    """Version, implementation and platform; None for what does not run (version managers leave such stubs on PATH)."""
    try:
        done = subprocess.run([python, "-I", "-c", _FACTS], capture_output=True, timeout=60, check=True)
        return list(json.loads(done.stdout))
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def _executable(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _read_marker(target: Path) -> dict[str, str] | None:
    try:
        tree = json.loads((target / MARKER).read_bytes())
    except (OSError, ValueError):
        return None
    return dict(tree["packages"]) if _executable(target).exists() else None  # its base Python may have gone


def _build(target: Path, python: Path, lines: list[str], log: Log) -> dict[str, str]:
    """Make it where it will stay, since scripts that pip writes hold the path; only the marker makes it valid."""
    shutil.rmtree(target, ignore_errors=True)  # left by a process that was killed
    log(f"environment: making one of {len(lines)} requirements: {_few(lines)}")
    done = False
    try:
        _check_call([str(python), "-I", "-m", "venv", "--without-pip", str(target)], "venv")
        listing = target / "requirements.txt"
        constraints = target / "constraints.txt"
        listing.write_text("".join(f"{x}\n" for x in lines if not x.startswith(CONSTRAINT)), "utf-8")
        constraints.write_text("".join(f"{_bound(x)}\n" for x in lines if x.startswith(CONSTRAINT)), "utf-8")
        _install(target, ["-r", str(listing), "-c", str(constraints)], lines, log)
        packages: dict[str, str] = json.loads(_check_call([str(_executable(target)), "-I", "-c", _VERSIONS], "listing"))
        marker = target / (MARKER + ".tmp")
        marker.write_bytes(canonical_json({"packages": packages, "requirements": lines}))
        os.replace(marker, target / MARKER)
        done = True
        return packages
    finally:
        if not done:
            shutil.rmtree(target, ignore_errors=True)


def _few(lines: list[str]) -> str:
    return ", ".join(lines[:6]) + (", ..." if len(lines) > 6 else "")


def _check_call(command: list[str], what: str) -> bytes:
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        last = (done.stderr or done.stdout).decode("utf-8", "replace").strip().split("\n")[-1]
        raise Unavailable(f"environment: {what} failed: {last[:300]}")
    return done.stdout


def _bound(line: str) -> str:
    return line.removeprefix(CONSTRAINT)


def _install(target: Path, files: list[str], lines: list[str], log: Log) -> None:
    command = [*_pip(target), "install", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    tail: deque[str] = deque(maxlen=200)
    whole = [*command, *files]
    with subprocess.Popen(whole, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL) as child:
        assert child.stdout is not None
        try:
            for raw in child.stdout:
                line = raw.decode("utf-8", "replace").rstrip()
                tail.append(line)
                log(line)
        except BaseException:  # interrupted: do not leave pip at work in a directory that is going away
            child.kill()
            raise
        code = child.wait()
    if code:
        raise Unavailable(_pip_failure(list(tail), lines))


def _pip(target: Path) -> list[str]:
    """This interpreter's pip working on the new environment: 4 s less than giving each one a pip of its own.

    An environment made by uv has no pip, and one before 22.3 no --python: the new environment gets its own then.
    """
    done = subprocess.run([sys.executable, "-I", "-m", "pip", "--version"], capture_output=True, check=False)
    found = re.match(rb"pip (\d+)\.(\d+)", done.stdout)
    if done.returncode == 0 and found and (int(found[1]), int(found[2])) >= (22, 3):
        return [sys.executable, "-I", "-m", "pip", "--python", str(_executable(target))]
    _check_call([str(_executable(target)), "-I", "-m", "ensurepip"], "ensurepip")
    return [str(_executable(target)), "-I", "-m", "pip"]


def _pip_failure(tail: list[str], lines: list[str]) -> str:
    errors = [x.removeprefix("ERROR:").strip() for x in tail if x.startswith("ERROR:")] or list(filter(None, tail))
    last = errors[-1] if errors else "no message"
    for pattern in _CULPRITS:
        for line in reversed(tail):
            match = re.search(pattern, line)
            if match:
                return f"environment: cannot install {match[1].strip()}: pip says: {last[:300]}"
    names = {re.split(r"[^\w.-]", x)[0]: x for x in lines}
    culprit = next((full for name, full in names.items() if name and any(name in e for e in errors)), _few(lines))
    return f"environment: cannot install {culprit}: pip says: {last[:300]}"


def _source_view(home: Path) -> Path:
    """A directory whose only entry is `gantline`, so that a child's path shows none of our own dependencies.

    Installed from a wheel, the package is one folder; in an editable install its parts are folders apart, gathered
    here by links (copies where the system has no links). Its name is a digest of what it holds.
    """
    parts = _source_parts()
    key = canonical_json({name: str(path) for name, path in parts.items()})
    target = home / "imports" / hashlib.sha256(key).hexdigest()[:24]
    if (target / "gantline" / "__init__.py").exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".view.", dir=target.parent))
    try:
        (work / "gantline").mkdir()
        for name, path in parts.items():
            _link(path, work / "gantline" / name)
        with suppress(OSError):  # another process was first: its view is the same
            work.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def _source_parts() -> dict[str, Path]:
    root = Path(gantline.__path__[0]).resolve()
    parts = {p.name: p for p in sorted(root.iterdir()) if p.name != "__pycache__" and not p.name.startswith(".")}
    for name in ("accelerators", "builders", "serve"):
        spec = importlib.util.find_spec(f"gantline.{name}")
        if spec is not None and spec.submodule_search_locations:
            parts[name] = Path(next(iter(spec.submodule_search_locations))).resolve()
    return parts


def _link(path: Path, at: Path) -> None:
    try:
        at.symlink_to(path, target_is_directory=path.is_dir())
    except OSError:
        if path.is_dir():
            shutil.copytree(path, at, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(path, at)
