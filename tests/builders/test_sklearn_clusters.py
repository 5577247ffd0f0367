"""Birch as ONNX, and a twin of its converter that confuses the subclusters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gantline.builders import from_sklearn, sklearn_clusters
from gantline.builders.sklearn_encoders import Graph
from gantline.builders.sklearn_onnx import WAYS, Way
from gantline.builders.source import Source
from sklearn.cluster import Birch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

R = np.random.default_rng(3)
X = np.concatenate([R.normal(at, 1, (40, 3)) for at in (0, 6, 12)])


def tried(model: Any, way: Way, tmp_path: Path) -> str:
    source = Source("m", object=model, sample={"": X})
    made, problem = from_sklearn.tried(way, from_sklearn.study_of(model, source), source, tmp_path)
    assert (made is None) == bool(problem)
    return problem


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("clusters", [3, None])
def test_it_answers_as_the_estimator(tmp_path: Path, clusters: int | None, way: Way) -> None:
    model = Birch(n_clusters=clusters).fit(X)
    assert len(model.subcluster_centers_) > 3
    assert tried(model, way, tmp_path) == ""
    assert tried(make_pipeline(StandardScaler(), Birch(n_clusters=clusters)).fit(X), way, tmp_path) == ""


def test_subclusters_that_are_confused_are_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Confused(Graph):
        def constant(self, values: Any, kind: int) -> str:
            return super().constant(np.roll(values, 1) if len(values) > 3 else values, kind)

    monkeypatch.setattr(sklearn_clusters, "Graph", Confused)
    assert "output 'label'" in tried(Birch(n_clusters=3).fit(X), WAYS[0], tmp_path)
