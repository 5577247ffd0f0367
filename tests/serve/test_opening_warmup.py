"""The samples of a config.pbtxt's model_warmup, when its model is opened to serve: what refuses it."""

from __future__ import annotations

from pathlib import Path

import pytest
from gantline.accelerators.triton.model_config import ModelConfig
from gantline.serve.entry import Entry
from gantline.serve.opening import open_version

from gantline.errors import BadArtefact
from gantline.packages import Package
from gantline.settings import ServeSettings, resolve


def config(folder: Path, text: str) -> ModelConfig:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.pbtxt").write_text(text)
    return ModelConfig.read(folder / "config.pbtxt")


def one(key: str, kind: str, dims: str, data: str) -> str:
    return f'inputs {{ key: "{key}" value {{ data_type: TYPE_{kind} dims: {dims} {data} }} }}'


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (one("x", "FP32", "[4]", "zero_data: true"), r"input 'x' has shape \[1,4\], expected \[-1,3\]"),
        (one("x", "FP64", "[3]", "zero_data: true"), "input 'x' has datatype FP64, expected FP32"),
        (one("q", "FP32", "[3]", "zero_data: true"), "input 'x' is missing"),
        (one("x", "FP32", "[-1]", "zero_data: true"), r"input 'x' has dims \[1, -1\]"),
        (one("x", "FP32", "[1000000, 1000000]", "zero_data: true"), "elements in all at most"),
        (one("x", "INVALID", "[3]", "zero_data: true"), "input 'x' has no data_type"),
        (one("x", "FP32", "[3]", ""), "input 'x' has none of zero_data, random_data and input_data_file"),
        (one("x", "FP32", "[3]", 'input_data_file: "none"'), "warmup/none cannot be read: No such file"),
        (one("x", "FP32", "[3]", 'input_data_file: "../config.pbtxt"'), "'../config.pbtxt' is outside"),
        (one("x", "FP32", "[3]", 'input_data_file: "short"'), "input 'x': .*12"),
        ("batch_size: 9 " + one("x", "FP32", "[3]", "zero_data: true"), "batch_size is 9, max_batch_size 8"),
    ],
)
def test_what_refuses_a_model(zoo: Path, tmp_path: Path, said: str, message: str) -> None:
    (tmp_path / "warmup").mkdir()
    (tmp_path / "warmup/short").write_bytes(b"short")
    found = config(tmp_path, f"max_batch_size: 8 model_warmup {{ name: 'w' {said} }}")
    with pytest.raises(BadArtefact, match=f"config.pbtxt: model_warmup 'w': .*{message}"):
        open_version(Entry("m", "1", Package.bare(zoo / "double.onnx", "m"), found), resolve(ServeSettings, {}, {}))


def test_a_model_that_fails_on_its_sample_is_refused(zoo: Path, tmp_path: Path) -> None:
    """lookup has a table of four rows: zeros are in it, most small random numbers are not."""
    package, resolved = Package.bare(zoo / "lookup.onnx", "m"), resolve(ServeSettings, {}, {})
    text = "max_batch_size: 8 model_warmup {{ name: 'w' batch_size: 8 count: 2 inputs {{ key: 'x' value {{ {} }} }} }}"
    good = config(tmp_path, text.format("data_type: TYPE_INT64 zero_data: true"))
    opened = open_version(Entry("m", "1", package, good), resolved)
    opened.session.close()
    bad = config(tmp_path, text.format("data_type: TYPE_INT64 random_data: true"))
    with pytest.raises(BadArtefact, match=r"config\.pbtxt: model_warmup 'w': the model fails on it: .*Gather"):
        open_version(Entry("m", "1", package, bad), resolved)
