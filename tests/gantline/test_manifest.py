"""The manifest: one spelling, read back as it was; anything else is refused in one line."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from gantline.errors import BadArtefact
from gantline.manifest import (
    FORMAT,
    Batching,
    EnvironmentRequest,
    File,
    Golden,
    Manifest,
    Parity,
    ScriptInfo,
    SourceInfo,
    Transform,
)
from gantline.signature import Signature, TensorSpec

FULL = Manifest(
    name="m",
    engine="script",
    model="model.onnx",
    engine_reason="no faithful ONNX: because",
    signature=Signature((TensorSpec("X", "FP32", (-1, 4)),), (TensorSpec("y", "BYTES", (-1,), False, ("a", "é")),)),
    source=SourceInfo("sklearn", "Pipeline", {"scikit-learn": "1.5"}),
    batching=Batching(64),
    environment=EnvironmentRequest("requirements", "3.11", ("numpy==2.0",)),
    script=ScriptInfo("score.py", models="models", contract="tensors", timeout_s=5.0, pickles=("m.pkl",)),
    transforms_before=(Transform("scale", {"by": 2.0}),),
    golden=(Golden("golden/request.bin", "golden/reply.bin", request_header=10, reply_header=20, rtol=1e-3),),
    parity=Parity("given", 5, 1e-7, 1e-6, 0, 12, {"rtol": 1e-4}, ("rtol 0.0001 -> 0.01",), {"y": {"label_flips": 0.0}}),
    notes=("one", "two"),
    files=(File("model.onnx", "sha256:00", 3),),
)


def test_it_is_read_back_as_it_was() -> None:
    assert Manifest.from_bytes(FULL.to_bytes(), "m.json") == FULL
    small = Manifest(name="m", engine="onnx")
    assert json.loads(small.to_bytes()) == {"engine": "onnx", "format": FORMAT, "name": "m"}
    assert Manifest.from_bytes(small.to_bytes(), "m.json") == small


def test_the_digest_is_of_the_content() -> None:
    assert FULL.digest.startswith("sha256:") and FULL.digest == replace(FULL).digest
    assert replace(FULL, notes=("one",)).digest != FULL.digest
    assert replace(FULL, batching=Batching()).digest != FULL.digest


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\x89PNG", "not JSON"),
        (b"[]", "not a Gantline package manifest"),
        (b'{"name": "x"}', "not a Gantline package manifest"),
        (b'{"format": "gantline.package/9", "name": "x", "engine": "onnx"}', "this Gantline reads"),
        (b'{"format": "gantline.package/1", "name": "x", "engine": "steam"}', "engine 'steam'; known: onnx"),
        (
            b'{"format": "gantline.package/1", "name": "x", "engine": "onnx", "table": {"form": "steam"}}',
            "table.form 'steam'; known: numbers",
        ),
        (b'{"format": "gantline.package/1", "engine": "onnx"}', "manifest lacks key 'name'"),
    ],
)
def test_what_is_no_manifest(data: bytes, told: str) -> None:
    with pytest.raises(BadArtefact, match=told) as caught:
        Manifest.from_bytes(data, "dir/manifest.json")
    assert caught.value.message.startswith("dir/manifest.json: ") and "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("colour", "red", "unknown key 'colour'"),
        ("name", 3, "key 'name' is int, expected str"),
        ("files", {}, "key 'files' is dict, expected a list"),
        ("golden", [3], "expected an object, got int"),
        ("parity", {"sample": "given"}, "parity lacks key 'rows'"),
        ("batching", {"max_batch_size": True}, "key 'max_batch_size' is bool"),
        ("batching", {"speed": 1}, "unknown key 'speed' in batching"),
        ("signature", {"inputs": []}, "lists 'inputs' and 'outputs'"),
    ],
)
def test_wrong_keys_and_types_are_named(key: str, value: Any, told: str) -> None:
    tree = {**json.loads(FULL.to_bytes()), key: value}
    with pytest.raises(BadArtefact, match=told):
        Manifest.from_bytes(json.dumps(tree).encode(), "m.json")
