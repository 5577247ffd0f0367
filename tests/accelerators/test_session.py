"""An opened package: outputs in the order asked for, zeros that fit, rows that are independent or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from gantline.accelerators.null import Null
from gantline.accelerators.session import Session, rows_are_independent, zeros

from gantline.errors import EngineFailed
from gantline.manifest import Manifest
from gantline.packages import Package
from gantline.signature import Signature, TensorSpec
from gantline.tensors import DATATYPES, Array

SIGNATURE = Signature(
    (TensorSpec("x", "FP32", (-1, 2)),), (TensorSpec("a", "FP32", (-1, 2)), TensorSpec("b", "INT64", (-1,)))
)


def session(root: Path, engine: Null | None = None, signature: Signature | None = SIGNATURE) -> Session:
    package = Package(root, Manifest(name="m", engine="null", signature=signature), None)
    return Session(package, engine or Null(SIGNATURE))


def test_outputs_in_the_order_asked_for(tmp_path: Path) -> None:
    one = session(tmp_path)
    feed = {"x": np.ones((3, 2), np.float32)}
    assert one.output_names == ("a", "b")
    assert [a.shape for a in one.run(feed)] == [(3, 2), (3,)]
    assert [a.shape for a in one.run(feed, ["b"])] == [(3,)]
    one.close()


def test_the_signature_is_the_manifests_or_the_programs(tmp_path: Path) -> None:
    labelled = Signature(SIGNATURE.inputs, (TensorSpec("a", "FP32", (-1, 2), False, ("n", "y")), SIGNATURE.outputs[1]))
    assert session(tmp_path, signature=labelled).signature.outputs[0].labels == ("n", "y")
    assert session(tmp_path, signature=None).signature == SIGNATURE


def test_it_opens_what_the_manifest_names(tmp_path: Path) -> None:
    opened = Session.open(Package(tmp_path, Manifest(name="m", engine="null", signature=SIGNATURE), None))
    assert isinstance(opened.engine, Null) and opened.inline
    assert not Session(Package(tmp_path, Manifest(name="m", engine="script"), None), Null(SIGNATURE)).inline


@pytest.mark.parametrize("datatype", DATATYPES)
def test_zeros_fit(datatype: str) -> None:
    spec = TensorSpec("x", datatype, (-1, 3, -1))
    made = zeros(spec, 4)
    assert made.shape == (4, 3, 1)
    Signature((spec,), ()).check("m", {"x": made})


class Mean(Null):
    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        x = inputs["x"]
        return [x - x.mean(axis=0), np.zeros(len(x), np.int64)]


class Lone(Null):
    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        if len(inputs["x"]) > 1:
            raise EngineFailed("one at a time")
        return super().run(inputs, outputs)


class Summed(Null):
    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        return [inputs["x"].sum(axis=0, keepdims=True), np.zeros(1, np.int64)]


class Rare(Null):
    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        x = inputs["x"]
        return [x * 2 if np.abs(x).max() > 3 else x, np.zeros(len(x), np.int64)]


@pytest.mark.parametrize(
    ("engine", "expected"), [(Null, True), (Mean, False), (Lone, False), (Summed, False), (Rare, False)]
)
def test_whether_rows_are_independent(tmp_path: Path, engine: type[Null], expected: bool) -> None:
    assert rows_are_independent(session(tmp_path, engine(SIGNATURE))) is expected


def test_a_fixed_batch_is_never_stacked(tmp_path: Path) -> None:
    fixed = Signature((TensorSpec("x", "FP32", (1, 2)),), (TensorSpec("a", "FP32", (1, 2)),))
    assert rows_are_independent(session(tmp_path, Null(fixed), fixed)) is False
