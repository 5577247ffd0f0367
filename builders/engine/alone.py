"""Alone: an image that runs without a container engine: in namespaces, or else on this machine's own Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gantline.accelerators.script.environment import SCRIPT_PYTHON
from gantline.builders.image import places

from gantline.errors import Unsupported
from gantline.oci.image import Image

from . import jail
from .awaiting import until_ready
from .wish import Wish, listening

_STOP_S = 30
_LINES = 200  # of the log, kept for a reason
_PROBE_S = 20
Log = Callable[[str], None]


def command(root: Path, image: Image, wish: Wish, log: Log) -> tuple[list[str], dict[str, str]]:
    """What to start, and its variables. Says to `log` how, and if not in namespaces, why."""
    settings = image.settings
    told = dict(line.partition("=")[::2] for line in settings.get("Env") or [])
    variables = told | dict(wish.variables) | listening(wish)
    program = [*(settings.get("Entrypoint") or []), *(settings.get("Cmd") or []), *wish.arguments]
    if refused := _refused(root):
        return _on_host(root, image, program, variables, refused, log)
    log("no container engine: it runs in namespaces of its own, on this machine's network")
    return [*_jail(root), *program], variables


def _jail(root: Path) -> list[str]:
    return [sys.executable, "-I", jail.__file__, str(root), str(places.USER)]


def _refused(root: Path) -> str:
    """Why the system does not allow a jail; nothing where it does."""
    if not sys.platform.startswith("linux"):
        return f"{sys.platform} has no namespaces"
    done = subprocess.run(_jail(root), capture_output=True, text=True, check=False, timeout=_PROBE_S)
    return "" if done.returncode == 0 else done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}"


def _on_host(
    root: Path, image: Image, program: list[str], variables: dict[str, str], refused: str, log: Log
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


@contextmanager
def running(
    words: list[str], variables: dict[str, str], wish: Wish, wait_s: float
) -> Iterator[subprocess.Popen[bytes]]:
    """Start it, wait until it is ready, and stop it with the block. Its log goes to stderr, too."""
    lines: deque[str] = deque(maxlen=_LINES)
    with subprocess.Popen(
        words, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:  # fmt: skip
        relay = threading.Thread(target=_relay, args=(process, lines), daemon=True)
        relay.start()
        try:
            ended: Callable[[], bool] = lambda: process.poll() is not None and not relay.is_alive()  # noqa: E731
            until_ready(wish.host, wish.port, wait_s, ended, lambda: "".join(lines), f"image {wish.name}")
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
            relay.join()


def _relay(process: subprocess.Popen[bytes], lines: deque[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line.decode("utf-8", "replace"))
        sys.stderr.write(lines[-1])
