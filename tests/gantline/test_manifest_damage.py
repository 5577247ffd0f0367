"""No foreign or damaged manifest gets further than a sentence."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gantline.errors import BadArtefact
from gantline.manifest import (
    Batching,
    ConfigInfo,
    EnvironmentRequest,
    File,
    Golden,
    Manifest,
    Parity,
    ScriptInfo,
    SequenceInfo,
    SourceInfo,
    TableInfo,
    Transform,
)
from gantline.signature import Signature, TensorSpec

FULL = Manifest(
    name="iris",
    engine="onnx",
    model="model.onnx",
    engine_reason="none",
    signature=Signature((TensorSpec("x", "FP32", (-1, 4)),), (TensorSpec("y", "INT64", (-1,), labels=("a", "b")),)),
    source=SourceInfo("sklearn", "LogisticRegression", {"scikit-learn": "1.9.1"}),
    batching=Batching(64),
    environment=EnvironmentRequest("requirements", "3.11", ("numpy==2.4.6",), found={"numpy": "numpy==2.4.6"}),
    script=ScriptInfo("score.py", pickles=("model.pkl",), variables={"A": "b"}),
    sequences=SequenceInfo({"h": "h_out"}, {"h": 0.5}, {"begin": "START"}, 2.5, 9),
    config=ConfigInfo("config/config.pbtxt", Signature((TensorSpec("x", "FP32", (-1, 2, 2)),), ())),
    settings={"instances": 2, "max_wait_s": 0.5},
    table=TableInfo(predictions=("y",)),
    transforms_before=(Transform("scale", {"by": 2.0}),),
    golden=(Golden("golden/request.bin", "golden/reply.bin", request_header=10, reply_header=20),),
    parity=Parity("given", 112, 1e-7, 1e-6, 0, limits={"rtol": 1e-4}, outputs={"y": {"label_flips": 0.0}}),
    tried={"numpy": "2.4.6", "onnxruntime": "1.31.1"},
    notes=("one", "two"),
    files=(File("model.onnx", "sha256:" + "0" * 64, 506),),
)
START = b'{"format": "gantline.package/1", "name": "x", "engine": "onnx"'


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (START + b', "parity": NaN}', "NaN is not a number"),
        (START + b', "parity": 1e999}', "1e999 is not a number"),
        (b'{"format": 7}', "not a Gantline package manifest"),
        (b'{"format": "gantline.package/1", "name": "x", "engine": "' + b"c" * 999 + b'"}', "known: onnx"),
        (START + b', "notes": [1]}', "key 'notes' is int, expected a list of str"),
        (START + b', "notes": "ab"}', "key 'notes' is str, expected a list of str"),
        (START + b', "notes": ["\\ud800"]}', "not Unicode"),
        (START + b', "golden": [{}]}', "golden lacks key 'request'"),
        (START + b', "golden": {}}', "expected a list"),
        (START + b', "script": 1}', "expected an object"),
        (START + b', "batching": {"max_batch_size": true}}', "key 'max_batch_size' is bool, expected int"),
        (START + b', "source": {"framework": "x", "versions": {"a": 1}}}', "key 'versions' is int"),
        (START + b', "signature": []}', "signature: expected an object"),
    ],
)
def test_a_foreign_document(data: bytes, told: str) -> None:
    with pytest.raises(BadArtefact) as caught:
        Manifest.from_bytes(data, "here/manifest.json")
    assert caught.value.message.startswith("here/manifest.json: ")
    assert told in caught.value.message
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 300


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value of a document."""
    found = [path]
    if isinstance(tree, dict):
        found += [p for key, value in tree.items() for p in places(value, (*path, key))]
    elif isinstance(tree, list):
        found += [p for i, value in enumerate(tree) for p in places(value, (*path, i))]
    return found


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=300, deadline=None)
@given(place=st.sampled_from(places(FULL.to_json())[1:]), junk=JUNK)
def test_one_damaged_value(place: tuple[Any, ...], junk: Any) -> None:
    """Whatever stands in one place: a manifest that is what its classes promise, or BadArtefact."""
    tree = copy.deepcopy(FULL.to_json())
    inner = tree
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = junk
    try:
        made = Manifest.from_bytes(json.dumps(tree).encode(), "m")
    except BadArtefact as e:
        assert e.message.startswith("m: ")
        return
    assert Manifest.from_bytes(made.to_bytes(), "m").digest == made.digest
    assert all(isinstance(n, str) for n in (*made.notes, *made.environment.requirements))
    assert all(isinstance(v, float) for v in (made.parity.limits if made.parity else {}).values())
    assert all(isinstance(p, str) for p in (made.script.pickles if made.script else ()))
    assert all(type(f.size) is int for f in made.files)


def test_every_field_is_in_the_test() -> None:
    written = FULL.to_json()
    bare = Manifest(name="iris", engine="onnx")
    left_out = [name for name in Manifest.__dataclass_fields__ if name not in written]
    assert left_out == ["transforms_after"]
    assert bare.to_json().keys() < written.keys()
