"""Alone: an image that runs without a container engine: in namespaces, or else on this machine's own Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from gantline.accelerators.script.environment import SCRIPT_PYTHON
from gantline.builders.image import places

from gantline.errors import Unsupported
from gantline.oci.image import Image

from . import jail
from .key_folder import INSIDE
from .wish import Wish, keyed, listening

_PROBE_S = 20
Log = Callable[[str], None]


def command(root: Path, image: Image, wish: Wish, log: Log) -> tuple[list[str], dict[str, str]]:
    """What to start, and its variables. Says to `log` how, and if not in namespaces, why."""
    settings = image.settings
    told = dict(line.partition("=")[::2] for line in settings.get("Env") or [])
    variables = told | dict(wish.variables) | listening(wish)
    program = [*(settings.get("Entrypoint") or []), *(settings.get("Cmd") or []), *wish.arguments]
    if refused := _refused(root):
        return _on_host(root, program, variables | (keyed(wish.keys) if wish.keys else {}), refused, log)
    log("no container engine: it runs in namespaces of its own, on this machine's network")
    return [*_jail(root, wish.keys), *program], variables | (keyed(INSIDE) if wish.keys else {})


def _jail(root: Path, keys: str = "") -> list[str]:
    return [sys.executable, "-I", jail.__file__, str(root), str(places.USER), keys]


def _refused(root: Path) -> str:
    """Why the system does not allow a jail; nothing where it does."""
    if not sys.platform.startswith("linux"):
        return f"{sys.platform} has no namespaces"
    try:
        done = subprocess.run(_jail(root), capture_output=True, text=True, check=False, timeout=_PROBE_S)
    except subprocess.TimeoutExpired:
        return f"no answer within {_PROBE_S:g} s"
    return "" if done.returncode == 0 else done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}"


def _on_host(
    root: Path, program: list[str], variables: dict[str, str], refused: str, log: Log
) -> tuple[list[str], dict[str, str]]:
    """The image's packages in a virtual environment of this machine's Python of the same minor version."""
    (site,) = (root / places.ENVIRONMENT / "lib").glob("python3.*")
    minor = site.name.removeprefix("python")
    same = f"{sys.version_info[0]}.{sys.version_info[1]}" == minor
    python = str(Path(sys.base_prefix, "bin", f"python{minor}")) if same else shutil.which(f"python{minor}")
    if not python or not Path(python).exists():
        raise Unsupported(f"not in namespaces ({refused}), and this machine has no Python {minor}: start an engine")
    log(f"no container engine, and not in namespaces ({refused}): its packages run on {python}, not isolated")
    made = {
        place: _environment(root, place, python, minor) for place in (places.ENVIRONMENT, places.SCRIPT_ENVIRONMENT)
    }
    script = variables.get(SCRIPT_PYTHON, "").startswith(f"/{places.SCRIPT_ENVIRONMENT}/")
    variables |= {
        SCRIPT_PYTHON: str(made[places.SCRIPT_ENVIRONMENT if script else places.ENVIRONMENT]),
        "PYTHONPATH": str(root / places.LIBRARY),
        "PYTHONSAFEPATH": "1",  # whatever lies where this was typed
        "PATH": os.environ.get("PATH", ""),
        "HOME": os.environ.get("HOME", "/tmp"),
    }
    models = f"/{places.MODELS}/"
    words = [f"{root}{word}" if word.startswith(models) else word for word in program[1:]]
    return [str(made[places.ENVIRONMENT]), *words], variables


def _environment(root: Path, place: str, python: str, minor: str) -> Path:
    """A virtual environment beside the unpacked image, whose packages are the image's."""
    made = root.parent / f"{root.name}.host" / Path(place).name
    (made / "bin").mkdir(parents=True, exist_ok=True)
    (made / "lib").mkdir(exist_ok=True)
    (made / "pyvenv.cfg").write_text(f"home = {Path(python).parent}\ninclude-system-site-packages = false\n")
    links: dict[Path, str | Path] = {
        made / "bin" / "python": python,
        made / "lib" / f"python{minor}": root / place / "lib" / f"python{minor}",
    }
    for link, target in links.items():
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    return made / "bin" / "python"
