"""Extensions: which of V2's this server speaks, as every face tells it. Only what works is named."""

from __future__ import annotations

from gantline.settings import ServeSettings

_ALWAYS = (
    "classification",
    "model_repository",
    "model_repository(unload_dependents)",
    "model_configuration",
    "binary_tensor_data",
    "parameters",
    "sequence",
    "schedule_policy",
    "statistics",
    "logging",
)


def extensions(settings: ServeSettings) -> list[str]:
    """The names, for server metadata."""
    found = list(_ALWAYS)
    if settings.allow_shared_memory:
        found.append("system_shared_memory")
    if settings.trace_dir:
        found.append("trace")
    return found
