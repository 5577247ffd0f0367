"""Run by the interpreter that has MLflow: log models of several frameworks, and ask them as MLflow's server does.

`python mlflow_flavors.py save FOLDER [SITE ...]` logs a model of each flavor in one run and writes where each lies to
models.json; a SITE has frameworks that this interpreter lacks, behind everything of its own.
`python mlflow_flavors.py ask FOLDER CASES.json [SITE ...]` writes MLflow's own answer to each
[model, kind, body] to answers.json.
"""

import json
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")
logging.disable(logging.WARNING)


def tables() -> tuple[Any, Any, Any]:
    """Rows of numbers, of numbers with texts and gaps, and what is to be predicted."""
    import numpy as np
    import pandas as pd

    random = np.random.default_rng(7)
    numbers = pd.DataFrame(random.normal(size=(200, 3)).astype("float32").astype("float64"), columns=["c", "a", "b"])
    mixed = pd.DataFrame({
        "city": random.choice(["Tromsø", "Rome, Italy", "東京"], 200),
        "rooms": random.integers(1, 6, 200).astype("float64"),
        "area": np.where(random.random(200) < 0.2, np.nan, random.uniform(20, 200, 200).round(1)),
    })  # fmt: skip
    return numbers, mixed, (2 * numbers["c"] - numbers["a"] * numbers["b"]).to_numpy()


def save(folder: Path) -> None:
    import mlflow  # type: ignore[import-not-found, unused-ignore]

    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = mlflow.create_experiment("houses", artifact_location=(folder / "mlruns" / "1").as_uri())
    numbers, _, target = tables()
    logged = {}
    with mlflow.start_run(experiment_id=experiment, run_name="first") as run:
        mlflow.log_params({"depth": 3, "note": "ünï"})
        mlflow.log_input(mlflow.data.from_pandas(numbers, name="houses"), context="training")
        mlflow.set_tag("mlflow.source.git.commit", "0123456789abcdef0123456789abcdef01234567")
        mlflow.set_tag("mlflow.source.git.repoURL", "https://user:secret@example.com/houses.git")
        for name, (flavor, model, options) in models(target).items():
            pins = options.pop("pins")
            log: Any = getattr(mlflow, flavor).log_model
            info = log(model, name=name, pip_requirements=["mlflow==3.17.2", *pins], **options)
            found = [p.parent for p in folder.glob("mlruns/1/models/*/artifacts/MLmodel") if info.model_id in p.parts]
            logged[name] = str(found[0])
    (folder / "models.json").write_text(json.dumps({"run": run.info.run_id, "models": logged}))


def models(target: Any) -> dict[str, tuple[str, Any, dict[str, Any]]]:
    """name -> flavor, model, options of its log_model()."""
    import catboost  # type: ignore[import-not-found, unused-ignore]
    import lightgbm  # type: ignore[import-not-found, unused-ignore]
    import xgboost  # type: ignore[import-not-found, unused-ignore]
    from mlflow.models import infer_signature  # type: ignore[import-not-found, unused-ignore]
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    numbers, mixed, _ = tables()
    steps = [("city", OneHotEncoder(handle_unknown="ignore"), ["city"]), ("rest", SimpleImputer(), ["rooms", "area"])]
    pipeline = make_pipeline(ColumnTransformer(steps), Ridge()).fit(mixed, target)
    booster = xgboost.train({"max_depth": 3}, xgboost.DMatrix(numbers, target), 10)
    classes = (target > 0).astype(int) + (target > 1)
    classifier = xgboost.XGBClassifier(n_estimators=5, max_depth=3).fit(numbers, classes)
    quiet = {"verbose": -1, "num_threads": 1}
    binary = lightgbm.train({"objective": "binary", **quiet}, lightgbm.Dataset(numbers, target > 0), 10)
    pickled = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1).fit(numbers, classes)
    oblivious = catboost.CatBoostRegressor(iterations=5, depth=3, verbose=False, allow_writing_files=False)
    rows = infer_signature(numbers, target)
    own = {"xgboost": ["xgboost-cpu==3.2.0"], "lightgbm": ["lightgbm==4.7.0", "scikit-learn==1.9.1"]}
    found = {
        "pipeline": ("sklearn", pipeline, {
            "signature": infer_signature(mixed, target), "input_example": mixed[:5], "pins": ["scikit-learn==1.9.1"],
            "skops_trusted_types": ["numpy.dtype"],
        }),
        "trees": ("xgboost", booster, {"signature": rows, "input_example": numbers[:5], "pins": own["xgboost"]}),
        "labels": ("xgboost", classifier, {"signature": infer_signature(numbers, classes), "pins": own["xgboost"]}),
        "oblivious": ("catboost", oblivious.fit(numbers, target), {"signature": rows, "pins": ["catboost==1.2.10"]}),
        "binary": ("lightgbm", binary, {"signature": rows, "pins": own["lightgbm"]}),
        "pickled": ("lightgbm", pickled, {
            "signature": infer_signature(numbers, classes), "pins": own["lightgbm"],
            "serialization_format": "cloudpickle",
        }),
    }  # fmt: skip
    return {**found, **torch_models(), "layers": keras_model()}


def keras_model() -> tuple[str, Any, dict[str, Any]]:
    """Layers on TensorFlow, whose signatures are of tensors alone."""
    import keras  # type: ignore[import-not-found, unused-ignore]
    import numpy as np
    from mlflow.models import infer_signature  # type: ignore[import-not-found, unused-ignore]

    keras.utils.set_random_seed(0)
    stack = [keras.layers.Input((3,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(2)]
    array = tables()[0].to_numpy(np.float32)
    said = infer_signature(array, np.zeros((len(array), 2), np.float32))
    return "keras", keras.Sequential(stack), {"signature": said, "pins": ["tensorflow-cpu==2.21.0", "keras==3.15.1"]}


def torch_models() -> dict[str, tuple[str, Any, dict[str, Any]]]:
    """A net under a signature of columns, and under one of tensors; its program as ONNX under both, too."""
    import numpy as np
    import onnx
    import torch
    from mlflow.models import infer_signature  # type: ignore[import-not-found, unused-ignore]
    from onnx import helper

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)).eval()
    numbers, _, _ = tables()
    array = numbers.to_numpy(np.float32)
    answers = np.zeros((len(array), 2), np.float32)
    weight = helper.make_tensor("w", onnx.TensorProto.FLOAT, [3, 1], [0.5, -1.0, 2.0])
    node = helper.make_node("MatMul", ["x", "w"], ["sum"])
    info = helper.make_tensor_value_info
    graph = helper.make_graph([node], "g", [info("x", 1, ["N", 3])], [info("sum", 1, ["N", 1])], [weight])
    program = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    framed, plain = infer_signature(numbers, answers), infer_signature(array, answers)
    export = {"serialization_format": "pt2", "input_example": array[:4], "pins": ["torch"]}
    scripted = {"serialization_format": "pickle", "input_example": numbers[:4], "pins": ["torch"]}
    return {
        "net": ("pytorch", net, {**export, "signature": plain}),
        "netframe": ("pytorch", torch.jit.script(net), {**scripted, "signature": framed}),
        "graph": ("onnx", program, {"signature": plain, "pins": ["onnx", "onnxruntime"]}),
        "graphframe": ("onnx", program, {"signature": framed, "pins": ["onnx", "onnxruntime"]}),
    }


def ask(folder: Path, cases: list[list[str]]) -> None:
    import mlflow  # type: ignore[import-not-found, unused-ignore]
    from mlflow.pyfunc import scoring_server  # type: ignore[import-not-found, unused-ignore]

    places = json.loads((folder / "models.json").read_text())["models"]
    loaded = {name: mlflow.pyfunc.load_model(places[name]) for name, _, _ in cases}
    answers = []
    for name, kind, body in cases:
        model = loaded[name]
        found = scoring_server.invocations(body, kind, model, model.metadata.get_input_schema())
        answers.append(json.loads(found.response))
    (folder / "answers.json").write_text(json.dumps(answers))  # Keras prints its progress


if __name__ == "__main__":
    verb, where, *rest = sys.argv[1:]
    if verb == "ask":
        sys.path += rest[1:]
        ask(Path(where), json.loads(Path(rest[0]).read_text()))
    else:
        sys.path += rest
        save(Path(where))
