"""What a config.pbtxt may say of batching and sequences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gantline.accelerators.triton.model_config import ModelConfig
from gantline.accelerators.triton.scheduling import BatchingConfig

from gantline.errors import BadArtefact
from gantline.signature import TensorSpec

BATCHING = """
dynamic_batching {
  preferred_batch_size: [ 4, 8 ] max_queue_delay_microseconds: 100 preserve_ordering: true
  priority_levels: 3 default_priority_level: 2
  default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 5000 max_queue_size: 16 }
}
"""
SEQUENCES = """
sequence_batching {
  control_input { name: "ready" control { kind: CONTROL_SEQUENCE_READY int32_false_true: [ 0, 7 ] } }
  control_input { name: "end" control { kind: CONTROL_SEQUENCE_END bool_false_true: [ false, true ] } }
  state { input_name: "in" output_name: "out" data_type: TYPE_FP32 dims: 2 }
}
"""
INPUTS = (TensorSpec("in", "FP32", (-1, 2)), TensorSpec("ready", "INT32", (-1, 1)), TensorSpec("end", "BOOL", (-1, 1)))
OUTPUTS = (TensorSpec("out", "FP32", (-1, 2)),)


def config(root: Path, text: str) -> ModelConfig:
    (root / "config.pbtxt").write_text(text)
    return ModelConfig.read(root / "config.pbtxt")


def test_batching(tmp_path: Path) -> None:
    found = config(tmp_path, BATCHING)
    assert found.batching == BatchingConfig((4, 8), 100, 3, 2, 5000, False, True, 16) and found.ignored == ()
    assert config(tmp_path, "dynamic_batching {}").batching == config(tmp_path, "").batching == BatchingConfig()
    allowed = "default_queue_policy { default_timeout_microseconds: 5 allow_timeout_override: true }"
    assert config(tmp_path, f"dynamic_batching {{ {allowed} }}").batching.timeout_override


LEVELS = """
dynamic_batching {
  priority_levels: 3
  default_queue_policy { default_timeout_microseconds: 9000 max_queue_size: 7 }
  priority_queue_policy { key: 1 value { default_timeout_microseconds: 500 allow_timeout_override: true } }
  priority_queue_policy { key: 3 value { timeout_action: DELAY default_timeout_microseconds: 40 max_queue_size: 2 } }
}
"""


def test_levels_of_their_own(tmp_path: Path) -> None:
    found = config(tmp_path, LEVELS)
    assert found.ignored == () and found.batching.middle == 2
    first, second, third = (found.batching.at(level) for level in (1, 2, 3))
    assert (first.timeout_us, first.timeout_override, first.demote, first.max_queue_size) == (500, True, False, 0)
    assert second is found.batching and (second.timeout_us, second.timeout_override) == (9000, False)
    assert (third.timeout_us, third.timeout_override, third.demote, third.max_queue_size) == (40, False, True, 2)
    for levels in ("", "priority_levels: 3"):
        text = f"dynamic_batching {{ {levels} priority_queue_policy {{ key: 4 value {{}} }} }}"
        with pytest.raises(BadArtefact, match=r"priority_queue_policy is for level 4, and priority_levels is [03]"):
            config(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dynamic_batching { priority_levels: 2 default_priority_level: 3 }", "default_priority_level is 3, .* is 2"),
        ("max_batch_size: 4 dynamic_batching { preferred_batch_size: [ 4, 8 ] }", "is 8, expected 1 to .*, 4"),
        ("dynamic_batching { preferred_batch_size: 0 }", "preferred_batch_size is 0, expected 1 or more"),
    ],
)
def test_what_cannot_be_meant(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadArtefact, match=said):
        config(tmp_path, text)


def test_sequences(tmp_path: Path) -> None:
    found = config(tmp_path, SEQUENCES)
    assert found.sequences is not None and found.ignored == ()
    assert [sorted(side) for side in found.sequences.hidden] == [["end", "in", "ready"], ["out"]]
    policy = found.sequences.policy(tmp_path, INPUTS, OUTPUTS)
    assert (policy.idle_ns, policy.max_sequences) == (1_000_000_000, 4096)
    assert policy.states[0].initial.tolist() == [[0.0, 0.0]]
    kind, off, on = policy.controls["ready"]
    assert (kind, off.tolist(), on.tolist()) == ("READY", [[0]], [[7]]) and on.dtype == np.int32
    assert policy.controls["end"][2].tolist() == [[True]]


def test_what_is_not_acted_on(tmp_path: Path) -> None:
    text = """
    sequence_batching { iterative_sequence: true oldest { max_candidate_sequences: 4 preferred_batch_size: 2 }
                        state { input_name: "in" output_name: "out" use_growable_memory: true } }
    """
    assert config(tmp_path, text).ignored == (
        "sequence_batching.oldest.preferred_batch_size",
        "sequence_batching.iterative_sequence",
        "sequence_batching.state 'in' use_growable_memory",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('state { input_name: "none" output_name: "out" }', "state input 'none' is not the model's; it has 'in'"),
        ('state { input_name: "in" output_name: "none" }', "state output 'none' is not the model's; it has 'out'"),
        ('control_input { name: "none" control {} }', "control input 'none' is not the model's"),
        (
            'state { input_name: "in" output_name: "out" data_type: TYPE_INT32 }',
            "state 'in' has data_type INT32, the model has FP32",
        ),
        ("oldest { max_candidate_sequences: -3 }", "max_candidate_sequences is -3, expected 1 or more"),
        ('control_input { name: "ready" }', "control input 'ready' has 0 controls, not 1"),
        ('control_input { name: "ready" control { int32_false_true: 1 } }', "'ready' needs two values"),
        (
            'state { input_name: "in" output_name: "out" initial_state { data_file: "no" } }',
            r"state 'in': .*initial_state/no does not hold \[1, 2\] of float32",
        ),
    ],
)
def test_what_does_not_fit_the_model(tmp_path: Path, text: str, said: str) -> None:
    found = config(tmp_path, f"sequence_batching {{ {text} }}")
    assert found.sequences is not None
    with pytest.raises(BadArtefact, match=said):
        found.sequences.policy(found.path, INPUTS, OUTPUTS)


def test_what_several_instances_leave_undone(tmp_path: Path) -> None:
    two = "instance_group { count: 2 }"
    assert config(tmp_path, BATCHING + two).ignored == ("dynamic_batching.preserve_ordering",)
    assert config(tmp_path, SEQUENCES + two).ignored == ("instance_group.count",)
    more = 'state { input_name: "in" output_name: "out" initial_state { zero_data: true } initial_state {} }'
    (listed,) = config(tmp_path, f"sequence_batching {{ {more} }}").ignored
    assert listed == "sequence_batching.state 'in' initial_state after the first"
