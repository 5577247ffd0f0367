"""Rows that are independent of each other or not, whether rows are given or nobody knows any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from gantline.accelerators.independence import independent, presumably_independent
from gantline.accelerators.null import Null
from gantline.accelerators.session import Session

from gantline.errors import EngineFailed
from gantline.manifest import Manifest
from gantline.packages import Package
from gantline.signature import Signature, TensorSpec
from gantline.tensors import Array

SIGNATURE = Signature(
    (TensorSpec("x", "FP32", (-1, 2)),), (TensorSpec("a", "FP32", (-1, 2)), TensorSpec("b", "INT64", (-1,)))
)


def session(root: Path, engine: Null, signature: Signature = SIGNATURE) -> Session:
    return Session(Package(root, Manifest(name="m", engine="null", signature=signature), None), engine)


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


class Large(Null):
    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        x = inputs["x"]
        return [x * 2 if np.abs(x).max() > 3 else x, np.zeros(len(x), np.int64)]


@pytest.mark.parametrize(
    ("engine", "expected"), [(Null, True), (Mean, False), (Lone, False), (Summed, False), (Large, False)]
)
def test_whether_presumably_independent(tmp_path: Path, engine: type[Null], expected: bool) -> None:
    assert presumably_independent(session(tmp_path, engine(SIGNATURE))) is expected


def test_a_fixed_batch_is_never_stacked(tmp_path: Path) -> None:
    fixed = Signature((TensorSpec("x", "FP32", (1, 2)),), (TensorSpec("a", "FP32", (1, 2)),))
    assert presumably_independent(session(tmp_path, Null(fixed), fixed)) is False


def test_without_a_row_nothing_is_presumed(tmp_path: Path) -> None:
    """Every input is optional: there is none to try."""
    bare = Signature((TensorSpec("x", "FP32", (-1, 2), True),), SIGNATURE.outputs)
    assert presumably_independent(session(tmp_path, Null(bare), bare)) is False


class Normalising(Null):
    """Depends on the other rows of its batch, as a model that normalises over the first axis does."""

    def run(self, inputs: Mapping[str, Array], outputs: object) -> list[Array]:
        x = inputs["x"]
        return [x - x.mean(axis=0, keepdims=True)]


def test_rows_that_depend_on_each_other_are_found(tmp_path: Path) -> None:
    signature = Signature((TensorSpec("x", "FP32", (-1, 2)),), (TensorSpec("y", "FP32", (-1, 2)),))
    package = Package(tmp_path, Manifest(name="n", engine="null", signature=signature), None)
    inputs = {"x": np.random.default_rng(0).standard_normal((4, 2)).astype(np.float32)}
    assert independent(Session(package, Null(signature)), inputs)
    assert not independent(Session(package, Normalising(signature)), inputs)
    assert not independent(Session(package, Normalising(signature)), {"x": inputs["x"][:1]})


class Branching(Null):
    """Goes one way or the other by what is in the whole batch."""

    def run(self, inputs: Mapping[str, Array], outputs: object) -> list[Array]:
        x = inputs["x"]
        return [x if x.sum() > 0 else -x]


class Rare(Null):
    """Looks at the whole batch for something that no row of the sample has."""

    def run(self, inputs: Mapping[str, Array], outputs: object) -> list[Array]:
        x = inputs["x"]
        return [x * 2 if x.max() > 3 else x]


class Positive(Null):
    """Takes numbers from zero up, and nothing else."""

    def run(self, inputs: Mapping[str, Array], outputs: object) -> list[Array]:
        if (inputs["x"] < 0).any():
            raise EngineFailed("negative")
        return [np.sqrt(inputs["x"])]


def test_programs_that_look_at_their_batch_are_found_on_rows_that_are_alike(tmp_path: Path) -> None:
    signature = Signature((TensorSpec("x", "FP32", (-1, 2)),), (TensorSpec("y", "FP32", (-1, 2)),))
    package = Package(tmp_path, Manifest(name="n", engine="null", signature=signature), None)
    alike = {"x": np.full((5, 2), 0.9, np.float32)}
    assert not independent(Session(package, Branching(signature)), alike)
    assert not independent(Session(package, Rare(signature)), alike)
    assert independent(Session(package, Positive(signature)), alike)
