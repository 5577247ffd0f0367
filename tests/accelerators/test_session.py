"""An opened package: outputs in the order asked for, zeros that fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gantline.accelerators.null import Null
from gantline.accelerators.session import Session, zeros

from gantline.manifest import Manifest
from gantline.packages import Package
from gantline.signature import Signature, TensorSpec
from gantline.tensors import DATATYPES

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
