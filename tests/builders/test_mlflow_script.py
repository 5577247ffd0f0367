"""MLflow's own functions behind a script: what is packed, what is trusted, and that the script says what it must."""

from __future__ import annotations

import ast
import json
import pickle
import runpy
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gantline.builders.mlflow_model import FILE, read_model
from gantline.builders.mlflow_script import behind_script
from gantline.builders.source import Conversion, Source

from gantline.errors import BadArtefact
from gantline.tensors import Array

from .mlflow_folder import example, mlmodel, pyfunc


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "mlflow"
    (made / "code" / "__pycache__").mkdir(parents=True)
    (made / "code" / "own.py").write_text("x = 1\n")
    (made / "code" / "__pycache__" / "own.pyc").write_text("")
    (made / "requirements.txt").write_text("mlflow==3.17.2\n")
    (made / FILE).write_text(mlmodel({"python_function": pyfunc(code="code")}))
    return made


def converted(folder: Path, **options: Any) -> Conversion:
    work = folder.parent / "work"
    work.mkdir(exist_ok=True)
    return behind_script(read_model(folder), Source("m", folder, **options), "because", work)


def test_the_whole_directory_goes_along(folder: Path) -> None:
    found = converted(folder)
    assert set(found.files) == {"code/score.py", "models/MLmodel", "models/code/own.py", "models/requirements.txt"}
    assert found.manifest["environment"].requirements == ("mlflow==3.17.2",)
    assert found.manifest["environment"].python == "3.11"
    assert (found.framework, found.versions) == ("MLflow", {"mlflow": "3.17.2"}) and found.reason == "because"
    assert found.notes == ("environment: from the requirements.txt",) and not found.manifest["script"].pickles


def test_the_users_environment_comes_first(folder: Path) -> None:
    found = converted(folder, environment=Path("current"))
    assert found.manifest["environment"].kind == "current" and not found.notes


def test_pickles_need_a_word_of_trust_and_are_listed(folder: Path) -> None:
    (folder / "python_model.pkl").write_bytes(pickle.dumps({"a": 1}))
    (folder / "other.bin").write_bytes(pickle.dumps([1]))
    with pytest.raises(BadArtefact, match=r"unpickles other.bin, python_model.pkl .* --trust-pickle"):
        converted(folder)
    found = converted(folder, trust_pickle=True)
    assert found.manifest["script"].pickles == ("models/other.bin", "models/python_model.pkl")
    assert "--no-pickle" in found.notes[-1]


def test_links_out_of_the_model_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    (folder / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(BadArtefact, match="neither a file of the model's own"):
        converted(folder)
    (folder / "link").unlink()
    (folder / "link").symlink_to(folder / "code", target_is_directory=True)  # it would be left out without a word
    with pytest.raises(BadArtefact, match="link: neither a file of the model's own nor a directory"):
        converted(folder)


def test_skops_files_that_trust_what_their_author_says_are_as_pickles(folder: Path) -> None:
    (folder / "model.skops").write_bytes(b"PK")
    flavors = {
        "sklearn": {
            "pickled_model": "model.skops",
            "serialization_format": "skops",
            "skops_trusted_types": ["os.system"],
        },
        "python_function": pyfunc(loader_module="mlflow.sklearn"),
    }
    (folder / FILE).write_text(mlmodel(flavors))
    with pytest.raises(BadArtefact, match=r"unpickles model\.skops .*--trust-pickle"):
        converted(folder)
    assert converted(folder, trust_pickle=True).manifest["script"].pickles == ("models/model.skops",)
    del flavors["sklearn"]["skops_trusted_types"]
    (folder / FILE).write_text(mlmodel(flavors))
    assert not converted(folder).manifest["script"].pickles


@pytest.mark.parametrize(
    ("flavors", "trust", "said"),
    [
        ({"python_function": pyfunc()}, False, "TRUSTED = False"),
        ({"python_function": pyfunc()}, True, "TRUSTED = True"),
        (
            {"sklearn": {"serialization_format": "skops"}, "python_function": pyfunc(loader_module="mlflow.sklearn")},
            False, "TRUSTED = True",
        ),
        ({"sklearn": {"serialization_format": "skops"}, "python_function": pyfunc()}, False, "TRUSTED = False"),
    ],
)  # fmt: skip
def test_mlflow_may_unpickle_only_what_was_trusted(
    folder: Path, flavors: dict[str, Any], trust: bool, said: str
) -> None:
    (folder / FILE).write_text(mlmodel(flavors))
    text = converted(folder, trust_pickle=trust).files["code/score.py"].read_text()
    assert f"\n{said}\n" in text and "# FACTS" not in text


def test_the_example_is_the_golden_body(folder: Path) -> None:
    assert converted(folder).body is None
    told = example(folder, {"inputs": [1], "params": {"k": 2}}, "json_object")
    (folder / FILE).write_text(mlmodel({"python_function": pyfunc()}, saved_input_example_info=told))
    assert converted(folder, trust_pickle=True).body == folder / "serving_input_example.json"
    untried = converted(folder)  # it would run the code, and install the requirements, of whoever made the folder
    assert untried.body is None and "--trust-pickle runs it" in untried.notes[-1]


def text(*values: Any) -> Array:
    out = np.empty(len(values), object)
    out[:] = values
    return out


@pytest.mark.parametrize(
    ("sample", "body"),
    [
        ({"": np.array([[1.0, np.nan]])}, {"inputs": [[1.0, None]]}),
        (
            {"a": np.array([1, 2]), "b": text("x", b"y")},
            {"dataframe_split": {"columns": ["a", "b"], "data": [[1, "x"], [2, "y"]]}},
        ),
        ({"x": np.zeros((1, 2, 2)), "y": np.ones(1)}, {"inputs": {"x": [[[0, 0], [0, 0]]], "y": [1]}}),
    ],
)
def test_the_users_rows_become_a_body(folder: Path, sample: dict[str, Array], body: Any) -> None:
    made = converted(folder, sample=sample).body
    assert made is not None and json.loads(made.read_text()) == body


class Refusal(Exception):
    """As mlflow.exceptions.MlflowException is."""

    def __init__(self, message: str, status: int = 400, code: str = "BAD_REQUEST") -> None:
        super().__init__(message)
        self.message, self.status, self.error_code = message, status, code

    def get_http_status_code(self) -> int:
        return self.status


@pytest.fixture
def script(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The script's globals, where only what it says of errors is asked. The real MLflow answers in conformance/."""
    names = ("mlflow", "mlflow.pyfunc", "mlflow.exceptions", "azureml", "azureml.contrib", "azureml.contrib.services")
    modules = {n: types.ModuleType(n) for n in (*names, "azureml.contrib.services.aml_response")}
    modules["mlflow.exceptions"].MlflowException = Refusal  # type: ignore[attr-defined]
    modules["mlflow.pyfunc"].scoring_server = types.SimpleNamespace()  # type: ignore[attr-defined]
    modules["mlflow"].pyfunc = modules["mlflow.pyfunc"]  # type: ignore[attr-defined]
    response = lambda message, status, headers: (status, json.loads(message))  # noqa: E731
    modules["azureml.contrib.services.aml_response"].AMLResponse = response  # type: ignore[attr-defined]
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return runpy.run_path(str(converted(folder).files["code/score.py"]))


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (
            "Failed to predict data '[secret]'. \nError: Model is missing inputs ['b'].",
            "Model is missing inputs ['b'].",
        ),
        ("Failed to predict data 'secret'. \nError: could not convert string to float: 'secret'", "does not take this"),
        ("Ensure that input is a valid JSON formatted string. Error: 'x'\nInput: \nsecret\n", "does not take this"),
        ("The input must be a JSON dictionary with exactly one of the input fields", "The input must be a JSON dict"),
        ("secret", "does not take this"),
    ],
)
def test_the_script_quotes_no_input(script: dict[str, Any], message: str, told: str) -> None:
    status, body = script["refused"](500, "INTERNAL_ERROR", message)
    assert status == 400 and body["error_code"] == "INTERNAL_ERROR"
    assert told in body["message"] and "secret" not in body["message"] and "\n" not in body["message"]


def test_the_script_has_azures_contract(folder: Path) -> None:
    tree = ast.parse(converted(folder).files["code/score.py"].read_text())
    names = {n.name: [a.arg for a in n.args.args] for n in tree.body if isinstance(n, ast.FunctionDef)}
    assert names["init"] == [] and names["run"] == ["data", "request_headers"]
