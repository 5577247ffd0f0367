"""An MLmodel file as it is read: what it says, and what is wrong with it in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gantline.builders.mlflow_model import FILE, read_model

from gantline.errors import BadArtefact

from .mlflow_folder import CONDA, ID, columns, example, mlmodel, pyfunc, signature


def written(folder: Path, **keys: Any) -> Path:
    (folder / FILE).write_text(mlmodel({"python_function": pyfunc()}, **keys))
    return folder


def test_what_it_says_of_its_origin_is_lineage(tmp_path: Path) -> None:
    model = read_model(written(tmp_path, signature=signature(columns("a", "b")), model_id="m-1", artifact_path=None))
    told = model.lineage
    assert told["run"] == "0123456789abcdef" and told["model_uuid"] == ID and told["model_id"] == "m-1"
    assert (
        told["saved"].startswith("2026-11-28") and told["mlflow"] == "3.17.2" and told["flavors"] == "python_function"
    )
    assert [c["name"] for c in json.loads(told["signature"])["inputs"]] == ["a", "b"]
    assert "artifact_path" not in told and "experiment" not in told


def test_names_are_those_of_columns_alone(tmp_path: Path) -> None:
    tensor = {"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 4]}}
    assert read_model(written(tmp_path, signature=signature(columns("a", "b")))).columns == ("a", "b")
    assert read_model(written(tmp_path, signature=signature([tensor]))).columns == ()
    assert read_model(written(tmp_path, signature=signature([{**tensor, "name": "x"}]))).columns == ()
    assert read_model(written(tmp_path, signature=signature([{"type": "double", "required": True}]))).columns == ()
    assert read_model(written(tmp_path)).columns == ()


def test_the_example_is_rows_and_a_body(tmp_path: Path) -> None:
    body = {"dataframe_split": {"columns": ["a", "b"], "data": [[1.5, "x"], [float("nan"), None]]}}
    model = read_model(written(tmp_path, saved_input_example_info=example(tmp_path, body)))
    rows, problem = model.example_rows()
    assert rows is not None and not problem
    np.testing.assert_array_equal(rows["a"], [1.5, np.nan])
    assert rows["b"].tolist() == ["x", ""]
    assert model.example_body() == tmp_path / "serving_input_example.json"


def test_an_example_of_an_older_mlflow(tmp_path: Path) -> None:
    (tmp_path / "input_example.json").write_text("[[1, 2], [3, 4]]")
    told = {"artifact_path": "input_example.json", "type": "ndarray", "format": "tf-serving"}
    rows, _ = read_model(written(tmp_path, saved_input_example_info=told)).example_rows()
    assert rows is not None
    np.testing.assert_array_equal(rows[""], [[1, 2], [3, 4]])


def test_one_column_without_a_name_gets_the_signatures(tmp_path: Path) -> None:
    told = example(tmp_path, {"inputs": ["one text", "another"]}, "json_object")
    keys = {"saved_input_example_info": told, "signature": signature(columns("text", kind="string"))}
    rows, _ = read_model(written(tmp_path, **keys)).example_rows()
    assert rows is not None and rows["text"].tolist() == ["one text", "another"]


def test_examples_that_are_no_rows_are_left_out_and_said_so(tmp_path: Path) -> None:
    sparse = example(tmp_path, {}, "sparse_matrix_csr")
    assert "sparse" in read_model(written(tmp_path, saved_input_example_info=sparse)).example_rows()[1]
    chat = example(tmp_path, {"messages": [{"role": "user", "content": "hello"}]}, "json_object")
    rows, problem = read_model(written(tmp_path, saved_input_example_info=chat)).example_rows()
    assert rows is None and problem.startswith("the input example is not read: ")


def test_the_environment_is_the_recorded_one(tmp_path: Path) -> None:
    model = read_model(written(tmp_path))
    assert model.environment()[0].kind == "current"
    (tmp_path / "conda.yaml").write_text(CONDA)
    request, origin = model.environment()
    assert (request.requirements, request.python, origin) == (("mlflow==3.17.2",), "3.11", "conda.yaml")
    (tmp_path / "requirements.txt").write_text("mlflow==3.17.2\nscikit-learn==1.9.1\n")
    (tmp_path / "python_env.yaml").write_text("python: 3.12.4\ndependencies:\n- -r requirements.txt\n")
    request, origin = model.environment()
    assert request.requirements == ("mlflow==3.17.2", "scikit-learn==1.9.1")
    assert (request.python, origin) == ("3.12", "requirements.txt")
    (tmp_path / "python_env.yaml").unlink()
    assert model.environment()[0].python == "3.11"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("flavors: [", "not YAML"),
        ("- a", "expected a mapping, found list"),
        ("run_id: x", "expected a mapping 'flavors'"),
        ("flavors: {}", "expected a mapping 'flavors'"),
        ("flavors: {sklearn: 3}", "expected a mapping 'flavors'"),
        ("flavors: {sklearn: {}}\nsignature: 3", "are to be mappings"),
        ("flavors: {sklearn: {}}\nsignature: {inputs: 3}", "'inputs' is not a string of JSON"),
        ("flavors: {sklearn: {}}\nsignature: {inputs: '{}'}", "'inputs' is not a list of columns"),
        ("flavors: {sklearn: {}}\nsignature: {outputs: '[1]'}", "'outputs' is not a list of columns"),
        ("x: !!python/object/apply:os.system ['true']", "not YAML"),
        ("\x00\x01", "not YAML"),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(BadArtefact, match=told) as e:
        read_model(tmp_path)
    assert "\n" not in e.value.message and str(tmp_path / FILE) in e.value.message


def test_paths_stay_inside_and_lead_somewhere(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("")
    folder = tmp_path / "model"
    folder.mkdir()
    model = read_model(written(folder))
    with pytest.raises(BadArtefact, match="leads out"):
        model.place("../outside", "'data'")
    with pytest.raises(BadArtefact, match="leads out"):
        model.place(str(tmp_path / "outside"), "'data'")
    with pytest.raises(BadArtefact, match="no such file"):
        model.place("missing", "'data'")
    with pytest.raises(BadArtefact, match="names no file"):
        model.place(None, "'data'")
    told = {"serving_input_path": "../outside", "type": "dataframe"}
    with pytest.raises(BadArtefact, match="leads out"):
        read_model(written(folder, saved_input_example_info=told)).example_rows()


def test_names_that_no_file_can_have(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    model = read_model(written(folder))
    (folder / "loop").symlink_to("loop")
    for name in ("a\0b", "x" * 5000, "loop/x"):
        with pytest.raises(BadArtefact, match=r"names no path|no such file"):
            model.place(name, "'data'")


def test_what_is_told_is_short_and_plain(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(
        "flavors: {python_function: {python_version: /tmp/evil}}\nrun_id: " + "x" * 5000 + "\nmodel_uuid: [a]\n"
        "utc_time_created: 2026-11-28 08:41:22\nexperiment_id: 3\n"
    )
    told = read_model(tmp_path)
    assert len(told.lineage["run"]) == 500 and "model_uuid" not in told.lineage
    assert told.lineage["saved"] == "2026-11-28 08:41:22" and told.lineage["experiment"] == "3"
    (tmp_path / "requirements.txt").write_text("numpy\n")
    assert told.environment()[0].python == "", "what is no version is none that is looked for"
