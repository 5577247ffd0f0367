"""Run by the interpreter that has MLflow: save models, and ask them by MLflow's own server functions and client.

`python mlflow_oracle.py save FOLDER` writes iris/ (scikit-learn, skops), onnx/ and made/ (a function of one's own).
`python mlflow_oracle.py ask FOLDER NAME URL CASES.json` prints what MLflow's own server answers to each case, then what
its client hears from the server at the URL, as JSON.
"""

import json
import sys
import warnings
from pathlib import Path

import pandas as pd

warnings.simplefilter("ignore")
NAMES = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]
MADE = """
import mlflow

class Adder(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        total = model_input["a"] + (params or {}).get("by", 1.0)
        texts = model_input["b"].fillna("")
        return [f"{t:g} {text or '-'} {day:%Y}" for t, text, day in zip(total, texts, model_input["d"])]

mlflow.models.set_model(Adder())
"""


def save(folder: Path) -> None:
    import mlflow  # type: ignore[import-not-found, unused-ignore]
    from mlflow.models import infer_signature  # type: ignore[import-not-found, unused-ignore]
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    x, y = load_iris(return_X_y=True, as_frame=True)
    model = LogisticRegression(max_iter=500).fit(x, y)
    pins = ["mlflow==3.17.2"]
    signature = infer_signature(x, model.predict(x))
    mlflow.sklearn.save_model(
        model, folder / "iris", signature=signature, input_example=x[::30], pip_requirements=[*pins, "scikit-learn"]
    )
    (folder / "made_code.py").write_text(MADE)
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", None], "d": pd.to_datetime(["2024-01-02", "2025-02-03"])})
    mlflow.pyfunc.save_model(
        folder / "made", python_model=str(folder / "made_code.py"), input_example=(frame, {"by": 1.0}),
        pip_requirements=pins,
    )  # fmt: skip


def ask(folder: Path, name: str, url: str, cases: list[list[str]]) -> None:
    import mlflow  # type: ignore[import-not-found, unused-ignore]
    from mlflow.exceptions import MlflowException  # type: ignore[import-not-found, unused-ignore]
    from mlflow.pyfunc import scoring_server  # type: ignore[import-not-found, unused-ignore]
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient  # type: ignore[import-not-found, unused-ignore]

    model = mlflow.pyfunc.load_model(str(folder / name))
    schema = model.metadata.get_input_schema()
    own = []
    for kind, body in cases:
        try:
            found = scoring_server.invocations(body, kind, model, schema)
            own.append([found.status, json.loads(found.response) if found.status == 200 else None])
        except MlflowException as e:
            own.append([e.get_http_status_code(), None])
    host, port = url.removeprefix("http://").split(":")
    client = ScoringServerClient(host, port)
    client.wait_server_ready()
    heard = {"version": client.get_version()}
    if name == "iris":
        frame = pd.DataFrame([[5.1, 3.5, 1.4, 0.2], [7.1, 3.5, 5.4, 2.2]], columns=NAMES)
        for form, data in {"frame": frame, "array": frame.to_numpy(), "list": frame.to_dict("records")}.items():
            heard[form] = client.invoke(data).get_predictions().iloc[:, 0].tolist()
        heard["mixed"] = client.invoke(frame[NAMES[::-1]]).get_predictions().iloc[:, 0].tolist()
        heard["want"] = model.predict(frame).tolist()
    else:
        frame = pd.DataFrame({"a": [1.5], "b": [None], "d": [pd.Timestamp("2024-05-06")]})
        heard["params"] = client.invoke(frame, params={"by": 2.0}).get_predictions().iloc[:, 0].tolist()
        heard["want"] = model.predict(frame, params={"by": 2.0})
    sys.stdout.write(json.dumps({"own": own, "heard": heard}))


if __name__ == "__main__":
    if sys.argv[1] == "save":
        save(Path(sys.argv[2]))
    else:
        ask(Path(sys.argv[2]), sys.argv[3], sys.argv[4], json.loads(Path(sys.argv[5]).read_text()))
