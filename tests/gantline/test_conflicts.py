"""Settings that cannot be meant together, wherever they came from."""

from __future__ import annotations

import pytest

from gantline.errors import UsageError
from gantline.settings import ServeSettings, resolve

WRONG = [
    (
        {"priority_levels": "3", "default_priority": "5"},
        "flag --default-priority: there are 3 levels (flag --priority-levels), and 5 is none of them; "
        "1 is the most urgent",
    ),
    (
        {"default_priority": "20"},
        "flag --default-priority: there are 10 levels (default), and 20 is none of them; 1 is the most urgent",
    ),
    (
        {"grpc_port": "8000"},
        "flag --grpc-port: 8000 is the port of HTTP, too; choose another, or serve both on it with --front h2",
    ),
    (
        {"http_port": "8001"},
        "flag --http-port: 8001 is the port of gRPC, too; choose another, or another --grpc-port, or --no-grpc",
    ),
    (
        {"no_grpc": "true", "grpc_compression": "gzip"},
        "flag --grpc-compression: gRPC is not served (flag --no-grpc); leave one of them out",
    ),
    ({"poll_s": "1"}, "flag --poll-s: nothing is polled; give --model-control poll, or leave it out"),
    (
        {"latency_target_ms": "10", "max_queue_delay_ms": "1"},
        "flag --max-queue-delay-ms: latency_target_ms (flag --latency-target-ms) takes its place; leave one out",
    ),
    (
        {"keyless": "nothing"},
        "flag --keyless: there are no keys, so none is asked for; give --keys, or leave it out",
    ),
    (
        {"keys": "k", "keyless": "health+metrics", "no_metrics": "true"},
        "flag --keyless: there are no metrics (flag --no-metrics); say health, or leave one of them out",
    ),
    (
        {"load": "on-demand", "model_control": "explicit"},
        "flag --load: --model-control explicit loads models only when told to; leave one of them out",
    ),
    (
        {"memory": "1GiB"},
        "flag --memory: all models are loaded at start, and none makes room; give --load on-demand, or leave it out",
    ),
    (
        {"unload_after_s": "60"},
        "flag --unload-after-s: what is unloaded would not be loaded again; give --load on-demand, or leave it out",
    ),
]
RIGHT = [
    {"priority_levels": "3"},  # the default level is the middle one
    {"http_port": "0", "grpc_port": "0"},
    {"http_port": "9000", "grpc_port": "9000", "front": "h2"},
    {"http_port": "8001", "no_grpc": "true"},
    {"poll_s": "1", "model_control": "poll"},
    {"latency_target_ms": "0", "max_queue_delay_ms": "1"},
    {"keyless": "health"},
    {"keys": "k", "keyless": "health+metrics"},
    {"load": "on-demand", "memory": "1GiB", "unload_after_s": "60", "model_control": "poll"},
    {"no_metrics": "true", "no_triton_metrics": "true"},
]


@pytest.mark.parametrize(("flags", "message"), WRONG, ids=[" ".join(f) for f, _ in WRONG])
def test_what_cannot_be_meant(flags: dict[str, str | None], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(ServeSettings, flags, {})
    assert caught.value.message == message
    environment = {f"GANTLINE_{name.upper()}": str(value) for name, value in flags.items()}
    with pytest.raises(UsageError, match=r"^environment GANTLINE_"):
        resolve(ServeSettings, {}, environment)


@pytest.mark.parametrize("flags", RIGHT, ids=[" ".join(f) for f in RIGHT])
def test_what_can(flags: dict[str, str | None]) -> None:
    resolve(ServeSettings, flags, {})
