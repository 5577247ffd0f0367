"""What a config.pbtxt says of settings of `gantline serve`, for their lowest layer but the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gantline.errors import BadArtefact, UsageError
from gantline.setting import settings_of
from gantline.settings import ModelSettings

from .model_config import ModelConfig


def said_of(config: ModelConfig | None) -> Mapping[str, Any]:
    """By the settings' names; empty for no file."""
    if config is None:
        return {}
    out: dict[str, Any] = {"max_batch_size": config.max_batch_size}
    if config.threads:
        out["threads"] = config.threads
    if config.instances > 1:
        out["instances"] = config.instances
    said = config.batching
    if said.delay_us:
        out["max_queue_delay_ms"] = said.delay_us / 1e3
    if timeout := said.at(said.middle).timeout_us:
        out["deadline_s"] = timeout / 1e6
    if said.levels:
        out["priority_levels"] = said.levels
        out["default_priority"] = said.middle
    return out


def check_settings(config: ModelConfig) -> None:
    """BadArtefact for what serving would refuse, so that no package is made that cannot be served."""
    known = settings_of(ModelSettings)
    for name, value in said_of(config).items():
        try:
            known[name].read(value, f"{config.path}: what becomes of {name}")
        except UsageError as e:
            raise BadArtefact(e.message) from e
