"""Run by each framework's own interpreter: train one model, package it, and print what that took as a line of JSON.

`python framework_models.py NAME ROUNDS`; NAME is a row of framework_conversion.py, which starts this.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from gantline.builders import pack
from gantline.builders.source import Conversion, Source

from gantline.packages import Package
from gantline.tensors import Array

TREES, DEPTH = 100, 6


def data() -> tuple[Array, Array]:
    """4,000 rows of 20 numbers, and three classes that hang on some of them."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(4000, 20)).astype(np.float32)
    score = rows[:, 0] * 2 + np.sin(3 * rows[:, 1]) + rows[:, 2] * rows[:, 3]
    return rows, np.digitize(score, [-1.0, 1.0])


def sklearn() -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(TREES, max_depth=DEPTH, random_state=0).fit(*data())


def xgboost() -> Any:
    from xgboost import XGBClassifier

    return XGBClassifier(n_estimators=TREES, max_depth=DEPTH, random_state=0).fit(*data())


def lightgbm() -> Any:
    from lightgbm import LGBMClassifier

    return LGBMClassifier(n_estimators=TREES, max_depth=DEPTH, random_state=0, verbose=-1).fit(*data())


def catboost() -> Any:
    from catboost import CatBoostClassifier

    settings = {"iterations": TREES, "depth": DEPTH, "random_seed": 0, "verbose": 0, "allow_writing_files": False}
    return CatBoostClassifier(**settings).fit(*data())


def keras_perceptron() -> Any:
    import keras

    keras.utils.set_random_seed(0)
    layers = [keras.Input((20,)), keras.layers.Dense(256, "relu"), keras.layers.Dense(3, "softmax")]
    model = keras.Sequential(layers)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(*data(), epochs=2, verbose=0)
    return model


def keras_lstm() -> Any:
    import keras

    layers = [keras.Input((None,), dtype="int32"), keras.layers.Embedding(1000, 32), keras.layers.LSTM(64)]
    return keras.Sequential([*layers, keras.layers.Dense(2)])


def keras_file() -> Path:
    keras_perceptron().save("model.keras")
    return Path("model.keras")


def saved_model() -> Path:
    keras_perceptron().export("saved", verbose=False)
    return Path("saved")


MODELS: dict[str, Callable[[], Any]] = {
    "scikit-learn RandomForestClassifier": sklearn,
    "XGBoost XGBClassifier": xgboost,
    "LightGBM LGBMClassifier": lightgbm,
    "CatBoost CatBoostClassifier": catboost,
    "Keras perceptron": keras_perceptron,
    "Keras LSTM": keras_lstm,
    "Keras file (two processes)": keras_file,
    "TensorFlow SavedModel (two processes)": saved_model,
}


def main(name: str, rounds: int) -> None:
    """Package the model `rounds` times after a first one."""
    model = MODELS[name]()
    target = Path("model.pkg")

    def once() -> tuple[Conversion, Package, float, float]:
        times = [time.perf_counter()]
        conversion = _converted(model)
        times.append(time.perf_counter())
        package = pack.pack(_source(model), target, pack.Choices(overwrite=True))
        times.append(time.perf_counter())
        return conversion, package, times[1] - times[0], times[2] - times[1]

    conversion, package, first, second = once()
    converting, packaging = [first], [second]
    for _ in range(rounds):
        conversion, package, first, second = once()
        converting.append(first)
        packaging.append(second)
    packaging[0] += converting[0]  # whatever was imported for the first conversion, packaging would have imported
    parity = package.manifest.parity
    assert parity is not None and conversion.engine == package.manifest.engine
    facts = {
        "engine": package.manifest.engine,
        "convert_s": converting,
        "package_s": packaging,
        "bytes": sum(f.stat().st_size for f in target.rglob("*") if f.is_file()),
        "max_rel_error": parity.max_rel_error,
        "probes": parity.near_threshold_probes,
    }
    sys.stdout.write(json.dumps(facts) + "\n")


def _source(model: Any) -> Source:
    return Source("model", path=model) if isinstance(model, Path) else Source("model", object=model)


def _converted(model: Any) -> Conversion:
    import tempfile

    from gantline.builders.source import converter_for

    source = _source(model)
    with tempfile.TemporaryDirectory() as work:
        return converter_for(source).convert(source, Path(work))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
