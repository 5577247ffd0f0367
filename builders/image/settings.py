"""Settings: what a container of an image starts with, as its config says it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gantline.accelerators.script.environment import SCRIPT_PYTHON

from gantline import __version__
from gantline.manifest import Manifest
from gantline.oci.image import MODEL_LABEL, PACKAGE_LABEL

from . import places
from .base import Base

HTTP, GRPC = 8000, 8001
# nanoseconds, as Docker has them; Kubernetes ignores health checks in images
_SECOND = 1_000_000_000
_HEALTH = {
    "Test": ["CMD", places.interpreter(places.ENVIRONMENT), "-m", "gantline.cli.contained", "--healthy"],
    "Interval": 10 * _SECOND, "Timeout": 5 * _SECOND, "StartPeriod": 60 * _SECOND, "StartInterval": _SECOND // 2,
    "Retries": 3,
}  # fmt: skip
_VARIABLES = {
    "GANTLINE_HOST": "0.0.0.0",
    "GANTLINE_NO_AUTH": "true",  # until its operator mounts keys
    "GANTLINE_MODEL_CONTROL": "none",  # what it serves is what it was built of
    "ORT_DISABLE_TELEMETRY": "1",  # as where it is imported: for scripts that import it themselves
    "HOME": "/tmp",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
}
# of a base: they lead its Python away from the environment of the image, from its bytecode, or have it end otherwise
_MISLEADING = (
    "PYTHONHOME", "PYTHONPATH", "PYTHONPLATLIBDIR", "PYTHONEXECUTABLE", "PYTHONUSERBASE", "PYTHONPYCACHEPREFIX",
    "PYTHONOPTIMIZE", "PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONWARNINGS", "PYTHONCASEOK",
)  # fmt: skip


def misleading(lines: Iterable[str]) -> list[str]:
    """The names of variables of a base that an image on it goes without."""
    return [name for name in (line.partition("=")[0] for line in lines) if name in _MISLEADING]


def image_config(
    base: Base,
    manifest: Manifest,
    folder: str,
    diff_ids: tuple[str, ...],
    history: tuple[str, ...],
    created: str,
    script: str,
) -> dict[str, Any]:
    """The config of an image: what runs, as whom, and what it is called.

    `created` is RFC 3339; `script` the environment in which a scoring script runs, relative to the root.
    """
    labels = {
        **(base.settings.get("Labels") or {}),
        "org.opencontainers.image.title": manifest.name,
        "org.opencontainers.image.base.name": base.name,
        **({"org.opencontainers.image.base.digest": base.digest} if base.digest else {}),
        MODEL_LABEL: manifest.name,
        PACKAGE_LABEL: manifest.digest,
        "dev.gantline.version": __version__,  # which settings its runtime knows, for who starts it
    }
    settings = {
        "User": f"{places.USER}:{places.USER}",
        "ExposedPorts": {f"{HTTP}/tcp": {}, f"{GRPC}/tcp": {}},
        "Env": _merged(base.settings.get("Env") or [], {**_VARIABLES, SCRIPT_PYTHON: places.interpreter(script)}),
        "Entrypoint": [places.interpreter(places.ENVIRONMENT), "-m", "gantline.cli.contained"],
        "Cmd": [f"/{folder}"],
        "WorkingDir": "/",
        "StopSignal": "SIGTERM",
        "Healthcheck": _HEALTH,
        "Labels": labels,
    }
    return {
        **base.platform.to_json(),
        "created": created,
        "config": settings,
        "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
        "history": [{"created": created, "created_by": line} for line in history],
    }


def _merged(lines: list[str], mine: Mapping[str, str]) -> list[str]:
    dropped = {*mine, *misleading(lines)}
    kept = [line for line in lines if line.partition("=")[0] not in dropped]
    return kept + [f"{name}={value}" for name, value in sorted(mine.items())]
