"""The samples of model_warmup: what is built of them."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
from gantline.accelerators.triton.model_config import ModelConfig
from gantline.accelerators.triton.warmup import samples

from gantline.signature import Signature, TensorSpec

SIGNATURE = Signature(
    (TensorSpec("x", "FP32", (-1, 3)), TensorSpec("i", "INT64", (-1, 2)), TensorSpec("s", "BYTES", (-1, 1))),
    (TensorSpec("y", "FP32", (-1, 3)),),
)


def config(folder: Path, text: str) -> ModelConfig:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.pbtxt").write_text(text)
    return ModelConfig.read(folder / "config.pbtxt")


def one(key: str, kind: str, dims: str, data: str) -> str:
    return f'inputs {{ key: "{key}" value {{ data_type: TYPE_{kind} dims: {dims} {data} }} }}'


def test_what_is_built(tmp_path: Path) -> None:
    files = tmp_path / "warmup"
    files.mkdir()
    (files / "x.bin").write_bytes(np.arange(12, dtype=np.float32).tobytes())
    (files / "s.bin").write_bytes(b"".join(struct.pack("<I", len(w)) + w for w in (b"one", b"", b"three", b"4")))
    text = "max_batch_size: 8 model_warmup { name: 'zero' batch_size: 2 "
    text += one("x", "FP32", "[3]", "zero_data: true") + one("i", "INT64", "[2]", "random_data: true")
    text += one("s", "STRING", "[1]", "random_data: true") + "} model_warmup { name: 'file' batch_size: 4 count: 3 "
    text += one("x", "FP32", "[3]", 'input_data_file: "x.bin"') + one("i", "INT64", "[2]", "zero_data: true")
    text += one("s", "STRING", "[1]", 'input_data_file: "s.bin"') + "}"
    zero, file = samples(config(tmp_path, text), SIGNATURE)
    assert (zero.name, zero.count, file.name, file.count) == ("zero", 1, "file", 3)
    assert zero.inputs["x"].tolist() == [[0, 0, 0]] * 2
    assert zero.inputs["i"].dtype == np.int64 and 0 <= zero.inputs["i"].min() <= zero.inputs["i"].max() < 100
    assert all(re.fullmatch(b"[a-z]{8}", w) for w in zero.inputs["s"].ravel().tolist())
    assert file.inputs["x"].tolist() == np.arange(12).reshape(4, 3).tolist()
    assert file.inputs["s"].tolist() == [[b"one"], [b""], [b"three"], [b"4"]]
