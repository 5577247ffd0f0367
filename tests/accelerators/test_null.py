"""The null engine: zeros of the declared shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gantline.accelerators.engine import EngineOptions
from gantline.accelerators.null import Null, load

from gantline.manifest import Manifest
from gantline.packages import Package
from gantline.signature import Signature, TensorSpec
from gantline.tensors import DATATYPES, numpy_dtype


@pytest.mark.parametrize("datatype", DATATYPES)
def test_one_row_for_each_that_came(datatype: str) -> None:
    signature = Signature((TensorSpec("x", "FP32", (-1, 2)),), (TensorSpec("y", datatype, (-1, 3)),))
    (found,) = Null(signature).run({"x": np.ones((5, 2), np.float32)}, ["y"])
    assert found.shape == (5, 3) and found.dtype == numpy_dtype(datatype)
    assert set(found.ravel().tolist()) == {b"" if datatype == "BYTES" else 0}


def test_outputs_asked_for_and_odd_shapes() -> None:
    outputs = (TensorSpec("a", "FP32", ()), TensorSpec("b", "INT64", (4, -1)), TensorSpec("c", "FP32", (-1,)))
    engine = Null(Signature((TensorSpec("x", "FP32", ()),), outputs))
    found = engine.run({"x": np.ones((), np.float32)}, ["c", "b", "a"])
    assert [f.shape for f in found] == [(1,), (4, 1), ()]
    assert [f.shape for f in engine.run({}, ["c"])] == [(1,)]
    engine.close()


def test_the_packages_signature_or_a_plain_one(tmp_path: Path) -> None:
    own = Signature((TensorSpec("q", "BOOL", (-1,)),), (TensorSpec("r", "BOOL", (-1,)),))
    engine = load(Package(tmp_path, Manifest(name="n", engine="null", signature=own), None), EngineOptions())
    assert engine.signature == own
    plain = load(Package(tmp_path, Manifest(name="n", engine="null"), None), EngineOptions())
    assert plain.signature.batched and [t.name for t in plain.signature.outputs] == ["y"]
