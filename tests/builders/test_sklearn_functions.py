"""Functions of numpy, transformed targets, and counts of which the logarithm is taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gantline.accelerators.onnx import open_model
from gantline.builders.sklearn_answers import answers_of, reference
from gantline.builders.sklearn_functions import _OPERATORS
from gantline.builders.sklearn_layout import layout_of
from gantline.builders.sklearn_onnx import WAYS, to_onnx
from sklearn.compose import TransformedTargetRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from gantline.errors import Unsupported
from gantline.tensors import Array

X = (
    np.random.default_rng(0).uniform(0.5, 2, (40, 2)).astype(np.float32).astype(np.float64)
)  # numbers that float32 holds


def answered(model: Any, inputs: dict[str, Array], folder: Path) -> None:
    """ONNX says on these inputs what the source says, in float32 and in float64."""
    layout, asked = layout_of(model, None), answers_of(model)
    for way in WAYS:
        to_onnx(model, layout, way, 1, folder / "m.onnx")
        got = open_model(folder / "m.onnx").run(inputs, ["variable"])[0]
        np.testing.assert_allclose(got, reference(model, layout, asked)(inputs)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", _OPERATORS)
def test_functions(tmp_path: Path, name: str) -> None:
    answered(FunctionTransformer(getattr(np, name)).fit(X), {"X": X.astype(np.float32)}, tmp_path)


def test_code_is_told(tmp_path: Path) -> None:
    for function, told in ((np.cbrt, r"calls cbrt\(\)"), (lambda x: x, r"calls <lambda>\(\)")):
        model = FunctionTransformer(function).fit(X)
        with pytest.raises(Unsupported, match=rf"^FunctionTransformer {told}: code, which ONNX does not hold$"):
            to_onnx(model, layout_of(model, None), WAYS[0], 1, tmp_path / "m.onnx")


@pytest.mark.parametrize("options", [{"func": np.log1p, "inverse_func": np.expm1}, {"transformer": StandardScaler()}])
def test_transformed_targets(tmp_path: Path, options: dict[str, Any]) -> None:
    answered(
        TransformedTargetRegressor(Ridge(), **options).fit(X, np.exp(X[:, 0])), {"X": X.astype(np.float32)}, tmp_path
    )


def test_logarithms_of_counts(tmp_path: Path) -> None:
    texts = ["good good good film", "bad film", "bad bad good"]
    model = TfidfVectorizer(sublinear_tf=True).fit(texts)
    answered(model, {"X": np.array([[t.encode()] for t in texts], object)}, tmp_path)
