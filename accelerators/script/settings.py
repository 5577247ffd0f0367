"""Settings: what Azure's server reads from the environment and from config.json, in its order: the environment wins."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gantline.errors import BadArtefact


@dataclass(frozen=True, slots=True)
class Settings:
    """One script's settings. `cors` empty: no CORS headers."""

    app_root: Path
    timeout_ms: int
    service_name: str = "ML service"
    service_version: str = "1.0"
    path_prefix: str = ""
    cors: tuple[str, ...] = ()


def read_settings(
    app_root: Path, script_folder: Path, timeout_s: float, package_timeout_s: float,
    variables: Mapping[str, str] | None = None,
) -> Settings:  # fmt: skip
    """From the environment, then the package's own `variables`, config.json, and defaults.

    `timeout_s` 0: not chosen on the command line.
    """
    found = _config_file(app_root, script_folder)

    def value(name: str, default: Any) -> Any:
        return os.environ.get(name) or (variables or {}).get(name) or found.get(name) or default

    if timeout_s > 0:
        timeout_ms = round(timeout_s * 1000)
    else:
        text = value("SCORING_TIMEOUT_MS", round(package_timeout_s * 1000))
        try:
            timeout_ms = int(text)
        except (TypeError, ValueError):
            raise BadArtefact(f"SCORING_TIMEOUT_MS is {text!r}; it is a whole number of milliseconds") from None
    origins = str(value("AML_CORS_ORIGINS", ""))
    return Settings(
        app_root,
        max(timeout_ms, 1),
        str(value("SERVICE_NAME", "ML service")),
        str(value("SERVICE_VERSION", "1.0")),
        str(value("SERVICE_PATH_PREFIX", "")),
        tuple(o.strip() for o in origins.split(",") if o.strip()),
    )


def _config_file(app_root: Path, script_folder: Path) -> dict[str, Any]:
    named = os.environ.get("AZUREML_CONFIG_FILE")
    for path in ([Path(named)] if named else []) + [app_root / "config.json", script_folder / "config.json"]:
        try:
            data = path.read_bytes()
        except OSError:
            continue
        if not data:
            continue
        try:
            found = json.loads(data)
        except ValueError as e:
            raise BadArtefact(f"{path}: not JSON ({e}); Azure's server reads its settings from it") from e
        if not isinstance(found, dict):
            raise BadArtefact(f"{path}: expected an object of settings, found {type(found).__name__}")
        return found
    return {}
