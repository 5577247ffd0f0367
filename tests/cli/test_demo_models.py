"""The demo's models: what counts as right, and that they are trained to something."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gantline.cli import demo_models
from gantline.cli.demo_models import Trained, azure_body


def trained(before: list[float], regression: bool = False) -> Trained:
    truth = np.array([1.0, 2.0, 3.0])
    return Trained("m", "none", {}, {}, truth, np.array(before), "y", regression=regression)


def test_quality_is_accuracy_or_r_squared() -> None:
    model = trained([1, 2, 2])
    assert model.quality(model.before) == pytest.approx(2 / 3)
    model = trained([1.5, 2, 2.5], regression=True)
    assert model.quality(model.before) == pytest.approx(0.75)
    assert model.quality(model.truth) == 1.0


def test_one_other_label_is_not_the_same() -> None:
    model = trained([1, 2, 2])
    assert model.same(np.array([1, 2, 2]))
    assert not model.same(np.array([1, 2, 3]))


def test_a_regression_may_differ_in_the_last_digits_only() -> None:
    model = trained([1, 2, 2], regression=True)
    assert model.same(np.array([1.00001, 2, 2]))
    assert not model.same(np.array([1.01, 2, 2]))


@pytest.mark.slow
def test_every_model_is_trained_to_something(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_models, "_digits", lambda: None)  # as without torch; with it, the demo itself is run
    models = demo_models.train(tmp_path)
    assert [m.name for m in models] == ["iris", "diabetes", "cancer", "iris-azure"]
    for model in models:
        assert model.quality(model.before) > (0.4 if model.regression else 0.85), model.name
        assert {len(a) for a in model.inputs.values()} == {model.rows}


def test_the_script_s_request() -> None:
    assert json.loads(azure_body(np.array([[1.5, 2.0]]))) == {"data": [[1.5, 2.0]]}
