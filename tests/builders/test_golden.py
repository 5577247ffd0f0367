"""Golden samples as they are written: V2 documents, eight rows, with a tolerance of the output's size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gantline.accelerators.null import Null
from gantline.accelerators.replay import read_golden
from gantline.accelerators.session import Session
from gantline.builders.golden import ROWS, record

from gantline.manifest import Manifest
from gantline.packages import Package
from gantline.signature import Signature, TensorSpec

SIGNATURE = Signature(
    (TensorSpec("x", "FP32", (-1, 2)), TensorSpec("t", "BYTES", (-1, 1))), (TensorSpec("y", "FP64", (-1, 3)),)
)


class Scaled(Null):
    def run(self, inputs, outputs):  # type: ignore[no-untyped-def]
        return [np.repeat(inputs["x"][:, :1].astype(np.float64) * 1000, 3, axis=1)]


def scaled(root: Path) -> Session:
    return Session(Package(root, Manifest(name="m", engine="null", signature=SIGNATURE), None), Scaled(SIGNATURE))


def test_up_to_eight_rows_come_back_as_they_were(tmp_path: Path) -> None:
    session = scaled(tmp_path)
    x = np.arange(40, dtype=np.float32).reshape(20, 2)
    text = np.array([[f"é{i}".encode()] for i in range(20)], object)
    golden = record(session, {"x": x, "t": text}, tmp_path, 1e-3, whole=False)
    request, reply = read_golden(tmp_path, golden)
    assert np.array_equal(request.inputs["x"], x[:ROWS]) and request.inputs["t"].tolist() == text[:ROWS].tolist()
    assert request.binary_output and (reply.model, reply.version) == ("m", "1")
    assert reply.outputs[0][1].dtype == np.float64 and reply.outputs[0][1][1, 0] == 2000.0
    assert golden.rtol == 1e-3 and 1e-3 < golden.atol < 1e-1  # a millionth of some thousands
    assert (tmp_path / golden.request).read_bytes()[: golden.request_header].endswith(b"}")


def test_rows_that_may_not_be_cut_are_whole(tmp_path: Path) -> None:
    session = scaled(tmp_path)
    some = {"x": np.zeros((12, 2), np.float32), "t": np.full((12, 1), b"", object)}
    golden = record(session, some, tmp_path, 1e-4, whole=True)
    request, _ = read_golden(tmp_path, golden)
    assert len(request.inputs["x"]) == 12 and golden.atol == 0.0
