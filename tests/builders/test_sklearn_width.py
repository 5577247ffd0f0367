"""Inputs that float32 would change too much: the package takes them in float64, and answers as the source does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gantline.accelerators.session import Session

from gantline.fitting import UNNAMED, fit
from gantline.packages import Package
from gantline.tensors import Array

Packager = Callable[..., Package]
UNIX_TIMES = 1.7e9 + np.arange(300.0).reshape(-1, 1)  # float32 has one number for each 128 of them


def kinds(package: Package) -> dict[str, str]:
    assert package.manifest.signature is not None
    return {t.name: t.datatype for t in package.manifest.signature.inputs}


def answered(package: Package, sample: dict[str, Array]) -> list[Array]:
    """What a client gets that sends its rows as it has them."""
    session = Session.open(package)
    try:
        return session.run(fit(sample, session.signature))
    finally:
        session.close()


def on_times() -> list[Any]:
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return [make_pipeline(StandardScaler(), Ridge()), HistGradientBoostingRegressor(max_iter=20)]


@pytest.mark.parametrize("model", on_times(), ids=lambda m: type(m).__name__)
def test_numbers_that_float32_cannot_tell_apart(packaged: Packager, model: Any) -> None:
    model.fit(UNIX_TIMES, np.arange(300.0))
    package = packaged(model, sample=UNIX_TIMES)
    assert package.manifest.engine == "onnx" and kinds(package) == {"X": "FP64"}
    assert any(n.startswith("inputs are FP64: rounded to float32") for n in package.manifest.notes)
    (got,) = answered(package, {UNNAMED: UNIX_TIMES})
    np.testing.assert_allclose(got[:, 0], model.predict(UNIX_TIMES), rtol=1e-5, atol=1e-3)


def test_without_a_sample(packaged: Packager) -> None:
    model = on_times()[0].fit(UNIX_TIMES, np.arange(300.0))
    assert kinds(packaged(model)) == {"X": "FP64"}


def test_only_the_columns_that_lose_something(packaged: Packager) -> None:
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    table = pd.DataFrame({"time": UNIX_TIMES[:, 0], "half": np.arange(300) / 2, "plan": ["a", "b", "c"] * 100})
    numbers = make_pipeline(ColumnTransformer([("n", StandardScaler(), ["time", "half"])], remainder=OneHotEncoder()))
    model = make_pipeline(numbers, Ridge()).fit(table, np.arange(300.0))
    package = packaged(model, sample=table)
    assert kinds(package) == {"time": "FP64", "half": "FP32", "plan": "BYTES"}
    sample = {n: table[n].to_numpy(object if n == "plan" else float) for n in map(str, table)}
    (got,) = answered(package, sample)
    np.testing.assert_allclose(got[:, 0], model.predict(table), rtol=1e-5, atol=1e-3)


def test_ordinary_numbers_stay_in_float32(packaged: Packager, diabetes: tuple[Array, Array]) -> None:
    from sklearn.linear_model import Ridge

    package = packaged(Ridge().fit(*diabetes), sample=diabetes[0])
    assert kinds(package) == {"X": "FP32"} and package.manifest.notes == ()


def test_limits_that_were_loosened_hold_here_too(packaged: Packager) -> None:
    model = on_times()[0].fit(UNIX_TIMES, np.arange(300.0))
    assert kinds(packaged(model, sample=UNIX_TIMES, rtol=10.0)) == {"X": "FP32"}
