"""From settings, package and config.pbtxt to how requests wait."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from gantline.accelerators.session import Session
from gantline.accelerators.triton.model_config import ModelConfig
from gantline.accelerators.triton.model_settings import said_of
from gantline.serve.pace import Delayed, Greedy
from gantline.serve.policy import LevelPolicy, QueuePolicy
from gantline.serve.tuning import Tuning, tune

from gantline.errors import UsageError
from gantline.packages import Package
from gantline.settings import ServeSettings, resolve


@pytest.fixture
def tuned(zoo: Path, tmp_path: Path) -> Callable[..., Tuning]:
    def tuned(text: str = "", **flags: str) -> Tuning:
        (tmp_path / "config.pbtxt").write_text(text)
        config = ModelConfig.read(tmp_path / "config.pbtxt") if text else None
        resolved = resolve(ServeSettings, flags, {})
        own = resolved.model("double", {}, said_of(config)).settings
        session = Session.open(Package.bare(zoo / "double.onnx", "double"))
        return tune(session, 64, own, resolved.settings, config)

    return tuned


def test_by_default_an_idle_model_never_waits(tuned: Callable[..., Tuning]) -> None:
    found = tuned()
    assert (
        found.policy == QueuePolicy(max_rows=64, max_wait_ns=30_000_000_000)
        and isinstance(found.pace, Greedy)
        and found.sequences is None
    )


def test_a_config_pbtxt_is_honoured(tuned: Callable[..., Tuning]) -> None:
    found = tuned(
        "max_batch_size: 8 dynamic_batching { preferred_batch_size: 4 max_queue_delay_microseconds: 2000 "
        "priority_levels: 4 default_queue_policy { default_timeout_microseconds: 7000 max_queue_size: 3 } }"
    )
    assert isinstance(found.pace, Delayed)
    assert found.pace.choose(0, 3, 0, 8, None)[:2] == (0, 2_000_000) and found.pace.choose(0, 5, 0, 8, None).rows == 4
    policy = found.policy
    assert (policy.timeout_ns, policy.timeout_override, policy.max_queue_requests) == (7_000_000, False, 3)
    assert (policy.levels, policy.default_level) == (4, 2)


def test_instances(tuned: Callable[..., Tuning]) -> None:
    assert tuned().instances == tuned("instance_group { kind: KIND_CPU }").instances == 1
    two = "instance_group { count: 2 } instance_group { kind: KIND_CPU }"
    assert tuned(two).instances == 3
    assert tuned(two, instances="5").instances == 5, "a flag goes before a config.pbtxt"
    with pytest.raises(UsageError, match="instances"):
        tuned("instance_group { count: 1000 }")


def test_levels_of_a_config_pbtxt_have_their_own_rules(tuned: Callable[..., Tuning]) -> None:
    text = (
        "dynamic_batching { priority_levels: 4 default_queue_policy { max_queue_size: 9 } "
        "priority_queue_policy { key: 1 value { default_timeout_microseconds: 3000 } } "
        "priority_queue_policy { key: 2 value { default_timeout_microseconds: 8000 max_queue_size: 5 } } "
        "priority_queue_policy { key: 4 value { timeout_action: DELAY default_timeout_microseconds: 1000 } } }"
    )
    policy = tuned(text).policy
    assert (policy.default_level, policy.timeout_ns, policy.timeout_override) == (2, 8_000_000, False)
    assert policy.own == {1: LevelPolicy(3_000_000, False), 4: LevelPolicy(1_000_000, False, True)}
    assert (policy.max_queue_requests, policy.sizes) == (0, {2: 5, 3: 9})
    assert tuned(text, deadline_s="2").policy.timeout_ns == 2_000_000_000


def test_a_latency_target_makes_a_pace_that_learns_and_bounds_the_queue(tuned: Callable[..., Tuning]) -> None:
    found = tuned("dynamic_batching { max_queue_delay_microseconds: 2000 }", latency_target_ms="25")
    assert repr(found.pace) == "<Slo 25 ms, 0 shapes>"
    assert (found.policy.target_ns, found.policy.max_wait_ns) == (25_000_000, 30_000_000_000)


def test_flags_beat_it(tuned: Callable[..., Tuning]) -> None:
    text = "dynamic_batching { max_queue_delay_microseconds: 2000 priority_levels: 4 }"
    found = tuned(text, max_queue_delay_ms="0", priority_levels="9", tenants="gold=3, free=0.5", deadline_s="2")
    assert isinstance(found.pace, Greedy) and found.policy.levels == 9
    assert found.policy.weights == {b"gold": 3.0, b"free": 0.5} and found.policy.timeout_ns == 2_000_000_000
