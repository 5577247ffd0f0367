"""Made-up rows for models that carry no ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from gantline.accelerators.null import Null
from gantline.accelerators.session import Session
from gantline.builders.synthetic import from_signature, that_runs

from gantline.errors import EngineFailed
from gantline.manifest import Manifest
from gantline.packages import Package
from gantline.signature import Signature, TensorSpec
from gantline.tensors import Array

ALL = ("BOOL", "UINT8", "INT8", "INT32", "INT64", "UINT64", "FP16", "BF16", "FP32", "FP64", "BYTES")


def test_every_datatype_and_optional_inputs() -> None:
    inputs = (*(TensorSpec(d, d, (-1, 3)) for d in ALL), TensorSpec("maybe", "FP32", (-1,), True))
    rows = from_signature(Signature(inputs, ()), 5, 8)
    assert list(rows) == list(ALL)
    Signature(inputs, ()).check("m", rows)
    again = from_signature(Signature(inputs, ()), 5, 8)
    assert all(np.array_equal(rows[n], again[n]) for n in rows)
    assert set(np.unique(rows["INT64"])) <= {0, 1} and rows["FP32"].std() > 0.2


class Picky(Null):
    """Takes images of 64 columns alone."""

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        if inputs["x"].shape[1:] != (3, 64):
            raise EngineFailed(f"got {inputs['x'].shape}")
        return super().run(inputs, outputs)


def session(tmp_path: Path, shape: tuple[int, ...]) -> Session:
    signature = Signature((TensorSpec("x", "FP32", shape),), (TensorSpec("y", "FP32", (-1, 1)),))
    return Session(Package(tmp_path, Manifest(name="m", engine="null"), None), Picky(signature))


def test_sizes_are_tried_until_one_runs(tmp_path: Path) -> None:
    rows, notes = that_runs(session(tmp_path, (-1, 3, -1)), 4)
    assert rows["x"].shape == (4, 3, 64) and "standard normal" in notes[0]
    with pytest.raises(EngineFailed, match="got"):
        that_runs(session(tmp_path, (-1, 5, -1)), 4)
    with pytest.raises(EngineFailed, match=r"got \(2, 9\)"):
        that_runs(session(tmp_path, (2, 9)), 4)
