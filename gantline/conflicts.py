"""Conflicts: settings that are each right and cannot be meant together. A server that ignored one would surprise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .errors import UsageError


class _Conflict(NamedTuple):
    """`name` was given, and `wrong` says whether it makes no sense beside the rest; `text` is formatted with both."""

    name: str
    wrong: Callable[[Any], bool]
    text: str


def _one_port(s: Any) -> bool:
    return bool(s.http_port == s.grpc_port != 0 and s.front != "h2" and not s.no_grpc)


_CONFLICTS = (
    _Conflict(
        "default_priority", lambda s: s.default_priority > s.priority_levels,
        "there are {s.priority_levels} levels ({origins[priority_levels]}), and {s.default_priority} is none of them; "
        "1 is the most urgent",
    ),
    _Conflict(
        "grpc_port", _one_port,
        "{s.grpc_port} is the port of HTTP, too; choose another, or serve both on it with --front h2",
    ),
    _Conflict(
        "http_port", _one_port,
        "{s.http_port} is the port of gRPC, too; choose another, or another --grpc-port, or --no-grpc",
    ),
    _Conflict(
        "grpc_compression", lambda s: s.no_grpc and s.grpc_compression != "none",
        "gRPC is not served ({origins[no_grpc]}); leave one of them out",
    ),
    _Conflict(
        "poll_s", lambda s: s.poll_s != 15 and s.model_control != "poll",
        "nothing is polled; give --model-control poll, or leave it out",
    ),
    _Conflict(
        "load", lambda s: s.load == "on-demand" and s.model_control == "explicit",
        "--model-control explicit loads models only when told to; leave one of them out",
    ),
    _Conflict(
        "memory", lambda s: s.memory and s.load != "on-demand",
        "all models are loaded at start, and none makes room; give --load on-demand, or leave it out",
    ),
    _Conflict(
        "unload_after_s", lambda s: s.unload_after_s and s.load != "on-demand",
        "what is unloaded would not be loaded again; give --load on-demand, or leave it out",
    ),
    _Conflict(
        "max_queue_delay_ms", lambda s: s.max_queue_delay_ms and s.latency_target_ms,
        "latency_target_ms ({origins[latency_target_ms]}) takes its place; leave one out",
    ),
    _Conflict(
        "keyless", lambda s: s.keyless != "health" and not s.keys,
        "there are no keys, so none is asked for; give --keys, or leave it out",
    ),
    _Conflict(
        "keyless", lambda s: s.keyless == "health+metrics" and s.no_metrics,
        "there are no metrics ({origins[no_metrics]}); say health, or leave one of them out",
    ),
)  # fmt: skip


def check_together(settings: Any, origins: Mapping[str, str]) -> None:
    """UsageError for the first conflict of a server's settings: where it came from, what is wrong, what to do."""
    for name, wrong, text in _CONFLICTS:
        if origins[name] != "default" and wrong(settings):
            raise UsageError(f"{origins[name]}: {text.format(s=settings, origins=origins)}")
