"""What older exporters left out or wrote otherwise: shapes that the file does not say, slopes of one axis."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gantline.accelerators.session import Session
from onnx import ModelProto, numpy_helper

from gantline.errors import BadArtefact
from gantline.packages import Package
from gantline.tensors import Array
from tests.builders.old_onnx import mxnet_block, one_operator

Packager = Callable[..., Package]


def written(model: ModelProto, tmp_path: Path) -> Path:
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    return tmp_path / "m.onnx"


def block(model: ModelProto, x: Array) -> Array:
    """mxnet_block by numpy alone, with a slope for each channel."""
    w = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    conv = np.zeros((1, 6, 2, 2))
    for i, j in np.ndindex(2, 2):
        conv[0, :, i, j] = (padded[0, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3] * w["conv0_weight"]).sum((1, 2, 3))
    gamma, beta, mean, var, slope = (
        w[n].reshape(1, 6, 1, 1) for n in ("bn0_gamma", "bn0_beta", "bn0_moving_mean", "bn0_moving_var", "relu0_gamma")
    )
    normal = (conv - mean) / np.sqrt(var + 2e-5) * gamma + beta
    flat = np.where(normal < 0, normal * slope, normal).reshape(1, -1) @ w["fc1_weight"].T + w["fc1_bias"]
    raised = np.exp(flat - flat.max())
    scores: Array = raised / raised.sum()
    return scores


@pytest.mark.parametrize(
    ("spatial", "slope"), [(None, (6, 1, 1)), (1, (6, 1, 1)), (0, (6, 1, 1)), (None, (6,)), (0, (6,))]
)
def test_mxnets_slopes_and_spatial(
    packaged: Packager, tmp_path: Path, spatial: int | None, slope: tuple[int, ...]
) -> None:
    model = mxnet_block(8, spatial, slope)
    package = packaged(written(model, tmp_path))
    repaired = [n for n in package.manifest.notes if n.startswith("PRelu 'relu0'")]
    assert len(repaired) == (len(slope) == 1) and package.manifest.parity is not None
    x = np.random.default_rng(0).standard_normal((1, 3, 4, 4)).astype(np.float32)
    session = Session.open(package)
    np.testing.assert_allclose(session.run({"data": x})[0], block(model, x), rtol=1e-5)
    session.close()


def test_a_slope_that_is_right_as_it_is(packaged: Packager, tmp_path: Path) -> None:
    """As wide as the last axis: broadcasting is what the file says."""
    model = one_operator("PRelu", 7, [3, 3], weights={"s": np.array([0.1, 0.2, 0.3], np.float32)})
    package = packaged(written(model, tmp_path))
    assert not any("PRelu" in n for n in package.manifest.notes)
    session = Session.open(package)
    assert session.run({"x": -np.ones((1, 3, 3), np.float32)})[0][0, 0].tolist() == pytest.approx([-0.1, -0.2, -0.3])
    session.close()


def test_an_output_whose_shape_nobody_says_is_looked_at(packaged: Packager, tmp_path: Path) -> None:
    model = one_operator("Crop", 7, [2, 5, 5], border=[1, 1, 2, 1])
    package = packaged(written(model, tmp_path))
    assert package.manifest.signature is not None
    assert package.manifest.signature.outputs[0].shape == (1, 2, 3, 2)
    assert "shape of output 'y' as seen: the file does not say it" in package.manifest.notes
    session = Session.open(package)
    x = np.arange(50, dtype=np.float32).reshape(1, 2, 5, 5)
    assert (session.run({"x": x})[0] == x[:, :, 1:4, 1:3]).all()
    session.close()


def test_an_input_without_a_shape_asks_for_rows(packaged: Packager, tmp_path: Path) -> None:
    model = one_operator("LeakyRelu", 7, [4], alpha=0.25)
    model.graph.input[0].type.tensor_type.ClearField("shape")
    path = written(model, tmp_path)
    with pytest.raises(BadArtefact, match=r"m\.onnx: input 'x' has no shape in the file; .*--sample FILE"):
        packaged(path)
    rows = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    for sample in ({"x": rows}, rows):
        package = packaged(path, sample=sample, overwrite=True)
        signature = package.manifest.signature
        assert signature is not None and signature.inputs[0].shape == (-1, -1) == signature.outputs[0].shape
        assert package.manifest.batching.max_batch_size == 64
