"""Files that a configuration names: inside the model's directory, in each place that reads one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.serve.conftest import Running, Scaler

X = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}


def warm(file: str) -> dict[str, Any]:
    x = {"data_type": "TYPE_FP32", "dims": [3], "input_data_file": file}
    return {"max_batch_size": 8, "model_warmup": [{"name": "w", "inputs": {"x": x}}]}


def state(file: str) -> dict[str, Any]:
    first = {"name": "s", "data_type": "TYPE_FP32", "dims": [3], "data_file": file}
    kept = {"input_name": "x", "output_name": "y", "data_type": "TYPE_FP32", "dims": [3], "initial_state": [first]}
    return {"max_batch_size": 8, "sequence_batching": {"state": [kept]}}


def labels(file: str) -> dict[str, Any]:
    return {"max_batch_size": 8, "output": [{"name": "y", "dims": [3], "label_filename": file}]}


def model(file: str) -> dict[str, Any]:
    return {"default_model_filename": file}


@pytest.mark.parametrize(
    ("build", "key", "folder"),
    [
        (labels, "label_filename", "m"),
        (model, "default_model_filename", "m/1"),
        (state, "data_file", "m/initial_state"),
        (warm, "input_data_file", "m/warmup"),
    ],
)
def test_a_load_request_reads_no_file_outside(
    servers: Callable[..., Running], scaler: Scaler, tmp_path: Path,
    build: Callable[[str], dict[str, Any]], key: str, folder: str,
) -> None:  # fmt: skip
    """Each name leads to a file that would do, were it read; what served before goes on."""
    root = tmp_path / "models"
    scaler(root / "m/1/model.onnx", 2)
    scaler(tmp_path / "other.onnx", 3)
    for part in ("initial_state", "warmup"):
        (root / "m" / part).mkdir()
    there = tmp_path / "other.onnx"
    if build is not model:
        there = tmp_path / "secret"
        there.write_bytes(b"12 bytes\ntxt" if build is not labels else b"a secret\n")
    server = servers(root)
    for name in (str(there), "../" * len(Path("models", folder).parts) + there.name):
        body = {"parameters": {"config": json.dumps(build(name))}}
        assert (root / folder / name).exists()
        (answer,) = server.ask(server.post("/v2/repository/models/m/load", body))
        assert answer.status == 400, answer.body
        shown = name.removeprefix(f"{tmp_path}/")
        assert f"{key} '{shown}' is outside models/{folder}; expected a path inside it" in answer.json()["error"]
        (answer,) = server.ask(server.post("/v2/models/m/infer", {"inputs": [X]}))
        assert answer.json()["outputs"][0]["data"] == [2, 4, 6]
    inside = root / folder / "there"
    inside.symlink_to(there)  # the owner's link
    body = {"parameters": {"config": json.dumps(build("there"))}}
    (answer,) = server.ask(server.post("/v2/repository/models/m/load", body))
    assert answer.status == 200, answer.body
