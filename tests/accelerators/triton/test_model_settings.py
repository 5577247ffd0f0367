"""What a config.pbtxt says of settings, and what of it no server would take."""

from __future__ import annotations

from pathlib import Path

import pytest
from gantline.accelerators.triton.model_config import ModelConfig
from gantline.accelerators.triton.model_settings import check_settings, said_of

from gantline.errors import BadArtefact

FULL = """
max_batch_size: 16
dynamic_batching { max_queue_delay_microseconds: 200 priority_levels: 3
  default_queue_policy { default_timeout_microseconds: 2000000 } }
instance_group { count: 2 }
parameters { key: "intra_op_thread_count" value { string_value: "1" } }
"""


def config(folder: Path, text: str) -> ModelConfig:
    (folder / "config.pbtxt").write_text(text)
    return ModelConfig.read(folder / "config.pbtxt")


def test_by_the_settings_own_names(tmp_path: Path) -> None:
    found = config(tmp_path, FULL)
    assert said_of(found) == {
        "max_batch_size": 16, "threads": 1, "instances": 2, "max_queue_delay_ms": 0.2, "deadline_s": 2.0,
        "priority_levels": 3, "default_priority": 2,
    }  # fmt: skip
    check_settings(found)
    assert said_of(None) == {} and said_of(config(tmp_path, "")) == {"max_batch_size": 0}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("instance_group { count: 65 }", "what becomes of instances: 65 is not a whole number from 1 to 64"),
        ("dynamic_batching { priority_levels: 1099511627776 }", "priority_levels: 1099511627776 is not"),
        ("dynamic_batching { max_queue_delay_microseconds: 18446744073709551615 }", "max_queue_delay_ms: .* is not"),
    ],
)
def test_what_no_server_takes_is_told_when_it_is_packaged(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(BadArtefact, match=told):
        check_settings(config(tmp_path, text))
