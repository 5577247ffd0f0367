"""The demo's models: trained here and now on data that scikit-learn ships, with rows held out to score later."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..tensors import Array

SEED = 7
_SCRIPT = '''\
"""An Azure ML scoring script: nothing in it knows Gantline."""
import json
import logging
import os

import joblib
import numpy as np
from azureml.core.model import Model


def init():
    global model, names
    model = joblib.load(os.path.join(os.getenv("AZUREML_MODEL_DIR"), "model.pkl"))
    names = ["setosa", "versicolor", "virginica"]
    logging.info("loaded %s", Model.__name__)


def run(raw_data):
    rows = np.array(json.loads(raw_data)["data"])
    return {"species": [names[i] for i in model.predict(rows)]}
'''


@dataclass(slots=True)
class Trained:
    """One model of the demo. `predict` is the source model on held-out rows; `score` turns answers into a quality.

    `inputs`: held-out rows as V2 inputs. `package` holds the arguments of gantline.package beside the name.
    """

    name: str
    framework: str
    package: dict[str, Any]
    inputs: dict[str, Array]
    truth: Array
    before: Array  # the source model's own answers on the held-out rows
    output: str  # the output that holds the answer
    decide: Callable[[Array], Array] = field(default=np.ravel)  # from output to answer
    regression: bool = False
    names: tuple[str, ...] = ()  # class names, for a script that answers with them

    @property
    def rows(self) -> int:
        return len(self.truth)

    def quality(self, answers: Array) -> float:
        """Accuracy, or R squared for a regression."""
        if not self.regression:
            return float(np.mean(answers == self.truth))
        residual = np.sum((self.truth - answers) ** 2)
        return float(1 - residual / np.sum((self.truth - self.truth.mean()) ** 2))

    def same(self, answers: Array) -> bool:
        """Whether served answers are the source model's."""
        if self.regression:
            return bool(np.allclose(answers, self.before, rtol=1e-4, atol=1e-4))
        return bool(np.array_equal(answers, self.before))


def train(work: Path) -> list[Trained]:
    """Every model that can be trained here; the torch one only where torch is installed."""
    models = [_iris(), _diabetes(), _cancer()]
    cnn = _digits()
    if cnn is not None:
        models.append(cnn)
    return [*models, _script(work)]


def _iris() -> Trained:
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = load_iris(return_X_y=True)
    a, b, ya, yb = train_test_split(x.astype(np.float32), y, random_state=SEED)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(a, ya)
    return Trained("iris", "scikit-learn", {"model": model, "sample": a}, {"X": b}, yb, model.predict(b), "label")


def _diabetes() -> Trained:
    """Scaler and one-hot encoder over named columns, one of them text."""
    import pandas as pd
    from sklearn.compose import make_column_transformer
    from sklearn.datasets import load_diabetes
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    data = load_diabetes(as_frame=True, scaled=False)
    table: pd.DataFrame = data.data.astype(np.float32)
    table["sex"] = np.where(data.data["sex"] == 1, "female", "male")
    numbers = [c for c in table.columns if c != "sex"]
    a, b, ya, yb = train_test_split(table, data.target.to_numpy(), random_state=SEED)
    columns = make_column_transformer((StandardScaler(), numbers), (OneHotEncoder(), ["sex"]))
    model = make_pipeline(columns, Ridge()).fit(a, ya)
    inputs: dict[str, Array] = {
        str(c): np.array([str(v).encode() for v in b[c]], object).reshape(-1, 1)
        if c == "sex"
        else b[c].to_numpy(np.float32).reshape(-1, 1)
        for c in table.columns
    }
    found = model.predict(b)
    return Trained(
        "diabetes", "scikit-learn", {"model": model, "sample": a}, inputs, yb, found, "variable", regression=True
    )


def _cancer() -> Trained:
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import train_test_split

    x, y = load_breast_cancer(return_X_y=True)
    a, b, ya, yb = train_test_split(x.astype(np.float32), y, random_state=SEED)
    model = HistGradientBoostingClassifier(max_iter=60, random_state=SEED).fit(a, ya)
    return Trained("cancer", "scikit-learn", {"model": model, "sample": a}, {"X": b}, yb, model.predict(b), "label")


def _digits() -> Trained | None:
    try:
        import torch
    except ImportError:
        return None
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from torch import nn

    x, y = load_digits(return_X_y=True)
    images = (x.astype(np.float32) / 16).reshape(-1, 1, 8, 8)
    a, b, ya, yb = train_test_split(images, y, random_state=SEED)
    torch.manual_seed(SEED)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    optimiser = torch.optim.Adam(net.parameters(), 2e-3)
    images_a, labels_a = torch.from_numpy(a), torch.from_numpy(ya)
    for _ in range(8):
        for batch in torch.randperm(len(a)).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(net(images_a[batch]), labels_a[batch]).backward()
            optimiser.step()
    net.eval()
    with torch.inference_mode():
        found = net(torch.from_numpy(b)).argmax(1).numpy()
    return Trained(
        "digits", "torch", {"model": net, "sample": {"input": a[:64]}}, {"input": b}, yb, found, "output",
        decide=lambda scores: scores.argmax(axis=1),
    )  # fmt: skip


def _script(work: Path) -> Trained:
    import joblib
    from sklearn.datasets import load_iris
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import train_test_split

    data = load_iris()
    a, b, ya, yb = train_test_split(data.data, data.target, random_state=SEED)
    model = RandomForestClassifier(20, random_state=SEED).fit(a, ya)
    (work / "azure" / "models").mkdir(parents=True)
    (work / "azure" / "src").mkdir()
    (work / "azure" / "src" / "score.py").write_text(_SCRIPT)
    joblib.dump(model, work / "azure" / "models" / "model.pkl")
    (work / "azure" / "body.json").write_bytes(azure_body(b[:1]))
    package = {
        "script": "score.py",
        "code": work / "azure" / "src",
        "model_dir": work / "azure" / "models",
        "env": "current",
        "sample": work / "azure" / "body.json",
    }
    names = tuple(str(n) for n in data.target_names)
    return Trained("iris-azure", "Azure script", package, {"data": b}, yb, model.predict(b), "species", names=names)


def azure_body(rows: Array) -> bytes:
    """The request that the demo's scoring script reads."""
    return json.dumps({"data": rows.tolist()}).encode()
