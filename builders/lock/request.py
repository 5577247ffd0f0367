"""Request: every requirement line that a package's image has to meet, with who asks."""

from __future__ import annotations

from collections.abc import Sequence

from gantline.accelerators.script.environment import OLDEST

from gantline.errors import UsageError
from gantline.packages import Package

from ..image import runtime
from .asked import RUNTIME, SCRIPT, Asked, read_lines
from .imports import requirements
from .sources import Sources

OWN = "gantline"
_HOST = "the process that runs scripts"


def everything(package: Package, sources: Sources) -> tuple[list[Asked], Sources]:
    """The lines of the runtime and of the package's script, and the sources with what the package's lines add."""
    manifest = package.manifest
    asked = [Asked(line, OWN, RUNTIME) for line in runtime.requirements(manifest.engine)]
    if manifest.engine == "torch":
        asked.append(Asked(_torch(package), "the model is a torch program", RUNTIME))
    if manifest.script is None:
        return asked, sources
    if manifest.environment.kind == "current":
        return [*asked, *requirements(package)], sources
    found, sources = read_lines(manifest.environment.requirements, "the package", SCRIPT, sources)
    return [*asked, *found], sources


def for_script(asked: Sequence[Asked]) -> list[Asked]:
    """The script's lines by themselves, with what its process needs in an environment of its own."""
    found = [one for one in asked if one.group == SCRIPT]
    if not any(one.name == "numpy" and not one.bound for one in found):
        found.append(Asked("numpy", _HOST, SCRIPT))
    return found


def check_python(package: Package, python: tuple[int, int]) -> None:
    """UsageError where Gantline does not run on it, or the package asks for another."""
    if python < OLDEST:
        raise UsageError(
            f"Python {python[0]}.{python[1]}: servers run on {OLDEST[0]}.{OLDEST[1]} or newer; take a newer base"
        )
    wanted = package.manifest.environment.python
    if package.manifest.script is None or not wanted:
        return
    own = f"{python[0]}.{python[1]}"
    if ".".join(wanted.split(".")[:2]) != own:
        raise UsageError(
            f"package '{package.name}' asks for Python {wanted}, and the lock is for {own}: "
            f"take a base with Python {wanted} (gantline lock --python {wanted})"
        )


def _torch(package: Package) -> str:
    source = package.manifest.source
    version = source.versions.get("torch", "").partition("+")[0] if source else ""
    return f"torch=={version}" if version else "torch"
