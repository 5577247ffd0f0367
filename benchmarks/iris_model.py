"""The model of the small-request figures: scikit-learn's logistic regression on iris, one row of four floats in."""

from __future__ import annotations

from pathlib import Path

import numpy as np

ROW = [5.1, 3.5, 1.4, 0.2]
BODY = b'{"inputs":[{"name":"X","shape":[1,4],"datatype":"FP32","data":[5.1,3.5,1.4,0.2]}]}'


def make_package(folder: Path) -> Path:
    """Package the model under `folder`; where it is."""
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    import gantline

    x, y = load_iris(return_X_y=True)
    rows = x.astype(np.float32)
    model = LogisticRegression(max_iter=500).fit(rows, y)
    return gantline.package(model, name="iris", sample=rows, output=folder / "iris.pkg").path
