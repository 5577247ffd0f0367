"""Every key that a config.pbtxt can have, set one by one: each is acted on, listed as not acted on, or refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gantline.accelerators.triton.model_config import ModelConfig

from gantline.errors import GantlineError
from gantline.pb import message

# what is acted on; who does it is in accelerators/triton/ (tensors, sequences, warm-up) and serve/tuning.py (batching)
ACTED_ON = """
name platform backend default_model_filename max_batch_size
version_policy.latest.num_versions version_policy.all version_policy.specific.versions
input.name input.data_type input.dims input.reshape.shape input.optional
output.name output.data_type output.dims output.reshape.shape output.label_filename
instance_group.name instance_group.count
dynamic_batching.preferred_batch_size dynamic_batching.max_queue_delay_microseconds dynamic_batching.preserve_ordering
dynamic_batching.priority_levels dynamic_batching.default_priority_level
dynamic_batching.default_queue_policy.timeout_action
dynamic_batching.default_queue_policy.default_timeout_microseconds
dynamic_batching.default_queue_policy.allow_timeout_override dynamic_batching.default_queue_policy.max_queue_size
dynamic_batching.priority_queue_policy.timeout_action
dynamic_batching.priority_queue_policy.default_timeout_microseconds
dynamic_batching.priority_queue_policy.allow_timeout_override dynamic_batching.priority_queue_policy.max_queue_size
sequence_batching.max_sequence_idle_microseconds sequence_batching.oldest.max_candidate_sequences
sequence_batching.oldest.preserve_ordering
sequence_batching.control_input.name sequence_batching.control_input.control.kind
sequence_batching.control_input.control.int32_false_true sequence_batching.control_input.control.fp32_false_true
sequence_batching.control_input.control.bool_false_true sequence_batching.control_input.control.data_type
sequence_batching.state.input_name sequence_batching.state.output_name
sequence_batching.state.data_type sequence_batching.state.dims
sequence_batching.state.initial_state.name sequence_batching.state.initial_state.data_type
sequence_batching.state.initial_state.dims sequence_batching.state.initial_state.zero_data
sequence_batching.state.initial_state.data_file
model_warmup.name model_warmup.batch_size model_warmup.count model_warmup.inputs.data_type model_warmup.inputs.dims
model_warmup.inputs.zero_data model_warmup.inputs.random_data model_warmup.inputs.input_data_file
"""
REFUSED = ("ensemble_scheduling", "batch_input", "batch_output")


def test_each_key_alone(tmp_path: Path) -> None:
    from google.protobuf import text_format

    acted_on = set(ACTED_ON.split())
    found = set()
    for path in leaves(message("inference.ModelConfig")().DESCRIPTOR):
        key = ".".join(field.name for field in path)
        file = tmp_path / "config.pbtxt"
        file.write_text(text_format.MessageToString(alone(path)))
        try:
            ignored = ModelConfig.read(file, ("onnxruntime", "some")).ignored
        except GantlineError as e:
            assert key.startswith(REFUSED), f"{key}: {e}"
            continue
        assert not key.startswith(REFUSED), f"{key} is to be refused"
        assert (key in acted_on) == (not ignored), f"{key}: {ignored}"
        assert all(path[0].name in line for line in ignored), f"{key}: {ignored}"
        found.add(key)
    assert acted_on <= found, "keys that there are not"


def leaves(descriptor: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The fields that lead to each value of a message, or to a message without any."""
    for field in descriptor.fields:
        inner = of_values(field)
        if inner is None or not inner.fields:
            yield (*above, field)
        else:
            yield from leaves(inner, (*above, field))


def of_values(field: Any) -> Any:
    """The message that a field holds, or a map's values are; None for a plain value."""
    inner = field.message_type
    if inner is not None and inner.GetOptions().map_entry:
        return inner.fields_by_name["value"].message_type
    return inner


def alone(path: tuple[Any, ...]) -> Any:
    """A config with this one key, and what it cannot be without."""
    root = found = message("inference.ModelConfig")()
    for field in path:
        inner, value = field.message_type, getattr(found, field.name)
        if inner is not None and inner.GetOptions().map_entry:
            key = "some" if inner.fields_by_name["key"].type == field.TYPE_STRING else 1
            if of_values(field) is None:
                value[key] = "some"
            else:
                found = value[key]
        elif inner is not None:
            found = value.add() if field.is_repeated else value
            found.SetInParent()
        else:
            one = plain_value(field)
            if field.is_repeated:
                value.append(one)
            else:
                setattr(found, field.name, one)
    for tensor in (*root.input, *root.output):
        tensor.name = tensor.name or "x"
    if root.dynamic_batching.priority_queue_policy:
        root.dynamic_batching.priority_levels = 1
    return root


def plain_value(field: Any) -> Any:
    if field.enum_type is not None:
        return field.enum_type.values[-1].number
    return {field.CPPTYPE_STRING: "some", field.CPPTYPE_BOOL: True}.get(field.cpp_type, 1)
