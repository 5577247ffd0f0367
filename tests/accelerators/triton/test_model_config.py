"""config.pbtxt: what is read, what is refused or listed as ignored, and GET .../config's JSON."""

from __future__ import annotations

from pathlib import Path

import pytest
from gantline.accelerators.triton.model_config import LARGEST, ModelConfig, config_json, datatype_name

from gantline.errors import BadArtefact, Unsupported
from gantline.packages import Package
from gantline.signature import Signature, TensorSpec
from gantline.tensors import DATATYPES

FULL = """
# a comment
name: "m"
backend: "onnxruntime"
max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ 3, -1 ] } ]
output [
  { name: "p" data_type: TYPE_FP32 dims: [ 2 ] label_filename: "labels.txt" },
  { name: "s" data_type: TYPE_STRING dims: [ 1 ] reshape { shape: [ ] } }
]
version_policy: { specific: { versions: [ 1, 3 ] } }
default_model_filename: "other.onnx"
dynamic_batching { preferred_batch_size: [ 4 ] max_queue_delay_microseconds: 100 }
instance_group [ { count: 2 kind: KIND_GPU gpus: [ 0 ] } ]
parameters { key: "intra_op_thread_count" value { string_value: "2" } }
optimization { graph { level: 1 } }
"""


def _write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.pbtxt"
    path.write_text(text)
    return path


def test_everything_that_is_read(tmp_path: Path) -> None:
    config = ModelConfig.read(_write(tmp_path, FULL))
    assert (config.name, config.max_batch_size, config.model_file) == ("m", 8, "other.onnx")
    assert [(t.name, t.datatype, t.dims, t.reshape) for t in (*config.inputs, *config.outputs)] == [
        ("x", "FP32", (3, -1), None),
        ("p", "FP32", (2,), None),
        ("s", "BYTES", (1,), ()),
    ]
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    assert config.labels(config.outputs[0]) == ("cat", "dog")
    assert config.labels(config.outputs[1]) == ()


def test_what_is_not_acted_on_is_listed(tmp_path: Path) -> None:
    assert set(ModelConfig.read(_write(tmp_path, FULL)).ignored) == {
        "optimization.graph",
        "instance_group.kind KIND_GPU",
        "instance_group.gpus",
    }
    assert ModelConfig.read(tmp_path / "config.pbtxt").threads == 2
    quiet = 'name: "m" dynamic_batching {} instance_group { count: 1 kind: KIND_CPU } input { name: "x" dims: 1 }'
    assert ModelConfig.read(_write(tmp_path, quiet)).ignored == ()
    loud = 'input { name: "x" format: FORMAT_NCHW allow_ragged_batch: true } response_cache { enable: true }'
    assert ModelConfig.read(_write(tmp_path, loud)).ignored == (
        "input 'x' format", "input 'x' allow_ragged_batch", "response_cache",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("", ""),
        ("version_policy { latest { } }", "latest:1"),
        ("version_policy { latest { num_versions: 2 } }", "latest:2"),
        ("version_policy { all { } }", "all"),
        ("version_policy { specific { versions: [12, 2, 99] } }", "2,12,99"),
        ("version_policy { specific { } }", "0"),
    ],
)
def test_version_policies(tmp_path: Path, policy: str, words: str) -> None:
    assert ModelConfig.read(_write(tmp_path, policy)).versions == words


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ('name: "m"\nmax_batch: 8\n', BadArtefact, r"config\.pbtxt:2: .*max_batch"),
        ('name: "m"\ninput [ {\n  name: 5\n} ]', BadArtefact, r"config\.pbtxt:3: "),
        ('name: "m"\ninput {', BadArtefact, r"config\.pbtxt:2: "),
        ("\x00\x01", BadArtefact, r"config\.pbtxt:1: "),
        ("max_batch_size: -1", BadArtefact, "max_batch_size is -1"),
        ("instance_group { count: -1 }", BadArtefact, "instance_group has count -1"),
        ('input [ { name: "x" }, { name: "y" }, { name: "x" } ]', BadArtefact, "input 'x' is there 2 times"),
        ('output { name: "y" } output { name: "y" }', BadArtefact, "output 'y' is there 2 times"),
        ("input { dims: 1 }", BadArtefact, "input number 1 has no name"),
        ('input { name: "x" dims: [ 1, -5 ] }', BadArtefact, "input 'x' has a size of -5"),
        ('output { name: "y" dims: 1 reshape { shape: 0 } }', BadArtefact, "output 'y' has a size of 0"),
        ('backend: "tensorrt"', Unsupported, "backend 'tensorrt' is not supported"),
        ('platform: "ensemble" ensemble_scheduling { step { model_name: "a" } }', Unsupported, "ensemble_scheduling"),
        ('batch_input { kind: BATCH_ITEM_SHAPE target_name: "x" }', Unsupported, "batch_input"),
    ],
)
def test_what_cannot_be_served(tmp_path: Path, text: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as raised:
        ModelConfig.read(_write(tmp_path, text))
    assert "\n" not in str(raised.value) and "config.pbtxt" in str(raised.value)


def test_binary_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "config.pbtxt").write_bytes(b'name: "\xff"')
    with pytest.raises(BadArtefact, match="byte 7 is not UTF-8"):
        ModelConfig.read(tmp_path / "config.pbtxt")
    with pytest.raises(BadArtefact, match="cannot be read"):
        ModelConfig.read(tmp_path)
    config = ModelConfig.read(_write(tmp_path, FULL))
    with pytest.raises(BadArtefact, match=r"output 'p': label file .*labels\.txt"):
        config.labels(config.outputs[0])


def test_every_datatype_has_its_spelling() -> None:
    assert {datatype_name("TYPE_" + n.replace("BYTES", "STRING")) for n in DATATYPES} == set(DATATYPES)
    assert datatype_name("TYPE_INVALID") == ""


SIGNATURE = Signature(
    (TensorSpec("x", "FP32", (-1, 3, -1)), TensorSpec("k", "INT64", (-1, 1), optional=True)),
    (TensorSpec("p", "FP32", (-1, 2)), TensorSpec("s", "BYTES", (-1, 1))),
)


def test_json_without_a_config(tmp_path: Path) -> None:
    package = Package.bare(tmp_path / "model.onnx", "m")
    found = config_json(package, SIGNATURE, 64, None, instances=3)
    assert found["instance_group"][0]["count"] == 3
    assert found["name"] == "m" and found["max_batch_size"] == 64
    assert (found["platform"], found["backend"]) == ("onnxruntime_onnx", "onnxruntime")
    assert found["version_policy"] == {"latest": {"num_versions": 1}}
    assert found["input"][0] == {
        "name": "x", "data_type": "TYPE_FP32", "format": "FORMAT_NONE", "dims": [3, -1], "is_shape_tensor": False,
        "allow_ragged_batch": False, "optional": False, "is_non_linear_format_io": False,
    }  # fmt: skip
    assert found["input"][1]["optional"] is True
    assert [o["data_type"] for o in found["output"]] == ["TYPE_FP32", "TYPE_STRING"]
    assert found["dynamic_batching"]["preferred_batch_size"] == []
    assert found["instance_group"][0]["kind"] == "KIND_CPU"
    assert found["default_model_filename"] == "model.onnx"
    assert found["parameters"] == {} and found["model_warmup"] == []
    assert "sequence_batching" not in found and "response_cache" not in found


def test_json_unbatched_has_the_whole_shape(tmp_path: Path) -> None:
    found = config_json(Package.bare(tmp_path / "model.onnx", "m"), SIGNATURE, 0, None)
    assert found["max_batch_size"] == 0 and found["input"][0]["dims"] == [-1, 3, -1]
    assert "dynamic_batching" not in found


def test_json_keeps_what_the_config_says(tmp_path: Path) -> None:
    config = ModelConfig.read(_write(tmp_path, FULL))
    signature = Signature((TensorSpec("x", "FP32", (-1, 3, 7)),), SIGNATURE.outputs)
    found = config_json(Package.bare(tmp_path / "other.onnx", "m"), signature, 8, config)
    assert found["version_policy"] == {"specific": {"versions": [1, 3]}}
    assert found["input"][0]["dims"] == [3, 7]
    assert found["output"][0]["label_filename"] == "labels.txt"
    assert found["output"][1]["reshape"] == {"shape": []}
    assert found["dynamic_batching"]["max_queue_delay_microseconds"] == 100
    assert found["parameters"] == {"intra_op_thread_count": {"string_value": "2"}}
    assert len(found["instance_group"]) == 1 and found["instance_group"][0]["count"] == 2
    assert ModelConfig.read(_write(tmp_path, FULL)).message.max_batch_size == 8, "the config itself is not changed"


def test_a_config_is_read_whatever_editor_wrote_it(tmp_path: Path) -> None:
    (tmp_path / "config.pbtxt").write_bytes('\ufeff# Größe\r\nname: "mödel"\r\nmax_batch_size: 8\r\n'.encode())
    found = ModelConfig.read(tmp_path / "config.pbtxt")
    assert (found.name, found.max_batch_size) == ("mödel", 8)
    (tmp_path / "config.pbtxt").write_bytes(b"#" * (LARGEST + 1))
    with pytest.raises(BadArtefact, match="is not read"):
        ModelConfig.read(tmp_path / "config.pbtxt")
