"""Solver: requirement lines in, one version of each distribution out. The deciding is uv's, in a process of its own.

uv and not pip, since it evaluates markers for the machine that is meant instead of the one that it runs on, and tells
conflicts in sentences.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from gantline.errors import Unsupported

from .asked import Asked, normalised, without_user
from .download import no_room
from .sources import Sources, bare
from .target import Target

SECONDS = 1800  # an index that drips must not hold a build for ever
_NO_MATTER: Mapping[str, str] = {}
_NAME = re.compile(r"[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?", re.ASCII)
_VERSION = re.compile(r"[0-9][A-Za-z0-9.!]*")


@dataclass(frozen=True, slots=True)
class Offer:
    """A wheel, or a source archive, that an index has. `digest` and `size` are empty where it does not say."""

    file: str
    url: str
    digest: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class Solved:
    """A distribution at a version; `by` are the lines that led to it, directly or through others."""

    name: str
    version: str
    wheels: tuple[Offer, ...]
    source: Offer | None
    by: tuple[Asked, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """What uv said instead of an answer."""

    text: str


def solve(
    asked: Sequence[Asked], target: Target, sources: Sources, preferred: Mapping[str, str] = _NO_MATTER,
    tell: Callable[[str], None] = lambda line: None,
) -> tuple[Solved, ...] | Refused:  # fmt: skip
    """Versions for all lines together, sorted by name; those of `preferred`, by name, where they fit.

    What is strange about an answer (a version that was yanked, an extra that is not there) is told.

    Unsupported without uv, Unavailable without room for files.
    """
    try:
        return _solve(asked, target, sources, preferred, tell)
    except OSError as e:
        raise no_room(Path(tempfile.gettempdir(), "lock"), e) from e


def _solve(
    asked: Sequence[Asked], target: Target, sources: Sources, preferred: Mapping[str, str],
    tell: Callable[[str], None],
) -> tuple[Solved, ...] | Refused:  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="gantline-lock-") as folder:
        names = {f"{number:04}.in": one for number, one in enumerate(asked)}
        for name, one in names.items():
            Path(folder, name).write_text(one.requirement + "\n", "utf-8")
        lines = [word for name, one in names.items() for word in (["-c", name] if one.bound else [name])]
        common = _command(target, sources)
        chosen = Path(folder, "chosen.txt")
        found = _chosen(chosen, [*common, "--annotation-style", "line"], lines, _pins(preferred), sources)
        if isinstance(found, Refused):
            return found
        for warning in found.warnings:
            tell(warning)
        parents = _parents(chosen.read_text("utf-8"))
        _keep_pins(chosen)
        # asked again for files and digests; the versions are held, and all that it needs was read a moment ago
        found = _run([*common, "--format", "pylock.toml", "-c", chosen.name, *lines], folder, sources)
        if isinstance(found, Refused):
            return found
        packages: list[dict[str, Any]] = tomllib.loads(found.text).get("packages", [])
    return tuple(_solved(p, _roots(p["name"], parents, names)) for p in sorted(packages, key=lambda p: str(p["name"])))


def _chosen(
    chosen: Path, words: list[str], lines: list[str], pins: list[str], sources: Sources
) -> _Answer | Refused:  # fmt: skip
    """Have uv write its choice: with all of the versions that are preferred, else with those that fit, else with any.

    What is in a file that it would write again is taken where it fits, and passed over where it does not; but of such a
    version uv looks at the first index alone that has it, be it for other platforms only.
    """
    folder = chosen.parent
    words = [*words, "--output-file", chosen.name]
    (folder / "preferred.txt").write_text("".join(f"{pin}\n" for pin in pins), "utf-8")
    found: _Answer | Refused = Refused("")
    for preferred in ("held", "hinted", "") if pins else ("",):
        chosen.write_text((folder / "preferred.txt").read_text("utf-8") if preferred == "hinted" else "", "utf-8")
        held = ["-c", "preferred.txt"] if preferred == "held" else []
        found = _run([*words, *held, *lines], str(folder), sources)
        if not isinstance(found, Refused) or "No solution" not in found.text:
            break
    return found


def _pins(preferred: Mapping[str, str]) -> list[str]:
    """As lines that uv can read: a package that others wrote may say anything."""
    return [
        f"{normalised(n)}=={v}" for n, v in sorted(preferred.items()) if _NAME.fullmatch(n) and _VERSION.fullmatch(v)
    ]


def _keep_pins(path: Path) -> None:
    """Only what is a version: an address is in the request already."""
    lines = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "==" in line and " @ " not in line), "utf-8")


def uv() -> str:
    """Where uv is: beside this interpreter, as pip puts it, or on PATH."""
    try:
        from uv import find_uv_bin

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
    if not found:
        raise Unsupported("locking needs 'uv', which is not installed; type: pip install 'gantline[build]'")
    return found


def _command(target: Target, sources: Sources) -> list[str]:
    words = [
        uv(), "pip", "compile", "--no-header", "--python", sys.executable,
        "--python-version", target.version, "--python-platform", target.triple,
    ]  # fmt: skip
    words += [] if sources.build is not None else ["--no-build"]
    words += ["--no-index"] if sources.no_index else []
    words += ["--prerelease", "allow"] if sources.prereleases else []
    for path in sources.constraints:
        words += ["-c", path if "://" in path else os.path.abspath(os.path.expanduser(path))]
    return words


@dataclass(frozen=True, slots=True)
class _Answer:
    text: str
    warnings: tuple[str, ...]


def _run(words: list[str], folder: str, sources: Sources) -> _Answer | Refused:
    try:
        done = subprocess.run(
            words, cwd=folder, env=sources.variables(os.environ), stdin=subprocess.DEVNULL, capture_output=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Refused(f"error: no answer within {SECONDS} s")
    except OSError as e:
        raise Unsupported(f"{words[0]} cannot be run ({e.strerror}); type: pip install --force-reinstall uv") from e
    if done.returncode:
        return Refused((done.stderr or done.stdout).decode("utf-8", "replace"))
    said = done.stderr.decode("utf-8", "replace").splitlines()
    warnings = (line.removeprefix("warning: ").replace("`", "'") for line in said if line.startswith("warning: "))
    return _Answer(done.stdout.decode("utf-8"), tuple(dict.fromkeys(map(without_user, warnings))))


def _parents(text: str) -> dict[str, list[str]]:
    """Distribution -> who asked for it: other distributions, or `-r 0000.in`."""
    out = {}
    for line in text.splitlines():
        pin, _, by = line.partition("# via ")
        found = re.match(r"[A-Za-z0-9][\w.-]*", pin)
        if found and by:
            out[found[0]] = [word.strip() for word in by.split(",")]
    return out


def _roots(name: str, parents: Mapping[str, Sequence[str]], lines: Mapping[str, Asked]) -> tuple[Asked, ...]:
    """The lines from which a distribution can be reached, and the constraints on itself."""
    seen, waiting, found = {name}, [name], set()
    while waiting:
        for parent in parents.get(waiting.pop(), ()):
            if parent.startswith("-r "):
                found.add(parent.removeprefix("-r ").strip())
            elif not parent.startswith("-c ") and parent not in seen:
                seen.add(parent)
                waiting.append(parent)
    found |= {file for file, one in lines.items() if one.bound and one.name == normalised(name)}
    return tuple(lines[file] for file in sorted(found) if file in lines)


def _solved(package: Mapping[str, Any], by: tuple[Asked, ...]) -> Solved:
    wheels = [_offer(one) for one in package.get("wheels", [])]
    source = _offer(package["sdist"]) if "sdist" in package else None
    if "archive" in package:
        one = _offer(package["archive"])
        wheels, source = ([one], None) if one.file.endswith(".whl") else ([], one)
    elif "vcs" in package or "directory" in package:
        source = Offer("", str((package.get("vcs") or package["directory"]).get("url", "")))
    version = str(package.get("version", "")) or (wheels[0].file.split("-")[1] if wheels else "")
    return Solved(str(package["name"]), version, tuple(wheels), source, by)


def _offer(found: Mapping[str, Any]) -> Offer:
    url = str(found.get("url") or Path(str(found.get("path", ""))).absolute().as_uri())
    file = str(found.get("name") or unquote(urlsplit(url).path).rpartition("/")[2])
    digest = found.get("hashes", {}).get("sha256", "")
    return Offer(file, bare(url).partition("#")[0], f"sha256:{digest}" if digest else "", int(found.get("size", 0)))
