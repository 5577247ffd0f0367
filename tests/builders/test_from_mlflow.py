"""MLflow model directories: each flavor's file finds its converter, and what MLmodel says beside it is kept."""

from __future__ import annotations

import pickle
import shutil
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from gantline.accelerators.session import Session
from gantline.builders import from_mlflow, from_sklearn, sklearn_onnx
from gantline.builders.mlflow_model import FILE, read_model
from gantline.builders.source import Source, converter_for
from onnx import numpy_helper

from gantline.api import takes_body
from gantline.errors import BadArtefact, UsageError
from gantline.packages import Package
from gantline.tensors import Array
from tests.builders.triton_models import scorer

from .mlflow_folder import columns, example, mlmodel, pyfunc, signature

Packager = Callable[..., Package]
XY = tuple[Array, Array]
NAMES = ("sepal length", "sepal width", "petal length", "petal width")


@pytest.fixture(scope="module")
def estimator(iris: XY) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=500).fit(*iris)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "mlflow"
    made.mkdir()
    return made


def saved(folder: Path, estimator: Any, predict_fn: str = "predict", **keys: Any) -> Path:
    """A scikit-learn model as MLflow 3 saves it."""
    import skops.io

    skops.io.dump(estimator, folder / "model.skops")
    flavor = {"pickled_model": "model.skops", "serialization_format": "skops", "sklearn_version": "1.9.1", "code": None}
    flavors = {"sklearn": flavor, "python_function": pyfunc(loader_module="mlflow.sklearn", predict_fn=predict_fn)}
    keys.setdefault("signature", signature(columns(*NAMES)))
    (folder / FILE).write_text(mlmodel(flavors, **keys))
    return folder


def test_a_scikit_learn_flavor(packaged: Packager, folder: Path, estimator: Any, iris: XY) -> None:
    rows = iris[0][::30]
    body = {"dataframe_split": {"columns": list(NAMES), "data": rows.tolist()}}
    package = packaged(saved(folder, estimator, saved_input_example_info=example(folder, body)))
    manifest = package.manifest
    assert manifest.engine == "onnx" and manifest.source is not None and manifest.source.framework == "sklearn"
    assert manifest.table.columns == NAMES and manifest.table.predictions == ("label",)
    assert manifest.parity is not None and (manifest.parity.sample, manifest.parity.rows) == ("given", len(rows))
    assert any("saved by MLflow 3.17.2" in n for n in manifest.notes)
    assert any("input example" in n for n in manifest.notes)
    assert package.lineage()["run"] == "0123456789abcdef" and package.lineage()["mlflow"] == "3.17.2"
    golden = (package.path / manifest.golden[0].request).read_bytes()
    assert rows.astype("<f4").tobytes() in golden
    session = Session.open(package)
    label, _ = session.run({"X": iris[0].astype(np.float32)})
    session.close()
    np.testing.assert_array_equal(label, estimator.predict(iris[0]))


@pytest.mark.slow
def test_the_users_rows_and_run_come_first(packaged: Packager, folder: Path, estimator: Any, iris: XY) -> None:
    body = {"inputs": iris[0][:2].tolist()}
    path = saved(folder, estimator, saved_input_example_info=example(folder, body, "ndarray"))
    package = packaged(path, sample=iris[0][:9], run="mine")
    assert package.manifest.parity is not None and package.manifest.parity.rows == 9
    assert package.lineage()["run"] == "mine"


@pytest.mark.slow
def test_probabilities_where_those_are_the_predictions(packaged: Packager, folder: Path, estimator: Any) -> None:
    package = packaged(saved(folder, estimator, "predict_proba") / FILE)
    assert package.manifest.table.predictions == ("probabilities",)


def test_other_predictions_are_mlflows_own(folder: Path, estimator: Any, tmp_path: Path) -> None:
    conversion = from_mlflow.convert(Source("m", saved(folder, estimator, "predict_log_proba")), tmp_path)
    assert conversion.engine == "script" and "predict_log_proba()" in conversion.reason


@pytest.mark.slow
def test_a_converter_that_is_wrong_by_a_little_is_caught(
    packaged: Packager, folder: Path, estimator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = sklearn_onnx.to_onnx

    def twin(*args: Any) -> None:
        true(*args)
        model = onnx.load(args[-1])
        for node in model.graph.node:
            for attribute in node.attribute:
                if attribute.name == "coefficients":
                    attribute.floats[0] *= 1.01
        for weights in model.graph.initializer:  # where it computes in float64
            if weights.data_type == onnx.TensorProto.DOUBLE:
                weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * 1.01, weights.name))
        onnx.save(model, args[-1])

    monkeypatch.setattr(from_sklearn, "to_onnx", twin)
    package = packaged(saved(folder, estimator))
    assert package.manifest.engine == "script" and "relative error" in package.manifest.engine_reason


def test_a_pickle_needs_a_word_of_trust(packaged: Packager, folder: Path, estimator: Any, tmp_path: Path) -> None:
    (folder / "model.pkl").write_bytes(pickle.dumps(estimator))
    flavors = {"sklearn": {"pickled_model": "model.pkl", "serialization_format": "cloudpickle"}}
    (folder / FILE).write_text(mlmodel({**flavors, "python_function": pyfunc()}))
    with pytest.raises(BadArtefact, match="--trust-pickle"):
        packaged(folder)
    assert not (tmp_path / "model.pkg").exists()


@pytest.mark.slow
def test_a_trusted_pickle_is_loaded_elsewhere(packaged: Packager, folder: Path, estimator: Any) -> None:
    (folder / "model.pkl").write_bytes(pickle.dumps(estimator))
    (folder / FILE).write_text(mlmodel({"sklearn": {"pickled_model": "model.pkl"}, "python_function": pyfunc()}))
    package = packaged(folder, trust_pickle=True)
    assert package.manifest.engine == "onnx" and any("--trust-pickle was given" in n for n in package.manifest.notes)


def test_an_onnx_flavor(packaged: Packager, folder: Path, estimator: Any) -> None:
    made = packaged(estimator, name="first")
    shutil.copyfile(made.path / made.manifest.model, folder / "model.onnx")
    flavors = {"onnx": {"data": "model.onnx", "onnx_version": "1.23.2"}, "python_function": pyfunc()}
    tensor = {"type": "tensor", "name": "X", "tensor-spec": {"dtype": "float32", "shape": [-1, 4]}}
    (folder / FILE).write_text(mlmodel(flavors, signature=signature([tensor])))
    package = packaged(folder)
    assert package.manifest.engine == "onnx" and not package.manifest.table.columns
    assert package.lineage()["flavors"] == "onnx, python_function"


@pytest.mark.parametrize(
    ("flavor", "keys", "files", "found"),
    [
        ("pytorch", {"model_data": "data"}, ["data/model.pth", "data/model.pt2"], "data/model.pt2"),
        ("pytorch", {}, ["data/model.pth"], "data/model.pth"),
        ("keras", {"data": "data"}, ["data/model.keras", "data/keras_module.txt"], "data/model.keras"),
        ("tensorflow", {"data": "data", "model_type": "keras"}, ["data/model.h5"], "data/model.h5"),
        ("tensorflow", {"data": "data"}, ["data/model/saved_model.pb"], "data/model"),
        ("tensorflow", {"saved_model_dir": "tf2model"}, ["tf2model/saved_model.pb"], "tf2model"),
        ("xgboost", {"data": "model.ubj", "model_format": "ubj"}, ["model.ubj"], "model.ubj"),
        ("lightgbm", {"data": "model.lgb"}, ["model.lgb"], "model.lgb"),
        ("catboost", {"data": "model.cb"}, ["model.cb"], "model.cb"),
        ("onnx", {}, ["model.onnx"], "model.onnx"),
    ],
)
def test_where_a_flavor_keeps_its_file(
    folder: Path, flavor: str, keys: dict[str, str], files: list[str], found: str
) -> None:
    (folder / FILE).write_text(mlmodel({flavor: keys}))
    model = read_model(folder)
    with pytest.raises(BadArtefact, match="no such file"):
        from_mlflow.FLAVORS[flavor](model, model.flavors[flavor])
    for name in files:
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text("")
    assert from_mlflow.FLAVORS[flavor](model, model.flavors[flavor]) == folder / found


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("model.lgb", b"tree\n", "model.txt"),
        ("model.cb", b"CBM1", "model.cbm"),
        ("model.xgb", b'{"learner": {}}', "model.json"),
        ("model.xgb", b"{L\x00\x00", "model.ubj"),
    ],
)
def test_files_get_their_own_suffix(folder: Path, tmp_path: Path, name: str, content: bytes, found: str) -> None:
    (folder / name).write_bytes(content)
    made = from_mlflow.usual(folder / name, tmp_path)
    assert made == tmp_path / found and made.read_bytes() == content
    assert from_mlflow.usual(folder / "model.onnx", tmp_path) == folder / "model.onnx"


def test_a_folder_without_the_file_it_should_hold(folder: Path) -> None:
    (folder / FILE).write_text(mlmodel({"keras": {"data": "data"}}))
    (folder / "data").mkdir()
    with pytest.raises(BadArtefact, match=r"expected model.keras or model.h5 or model in it"):
        from_mlflow.convert(Source("m", folder), folder)


def test_a_flavor_that_nobody_converts_goes_behind_a_script(folder: Path, tmp_path: Path) -> None:
    (folder / "model.statsmodels").write_text("x")
    (folder / FILE).write_text(mlmodel({"statsmodels": {"data": "model.statsmodels"}, "python_function": pyfunc()}))
    conversion = from_mlflow.convert(Source("m", folder), tmp_path)
    assert conversion.engine == "script" and conversion.reason.startswith("flavors python_function, statsmodels")
    assert conversion.lineage["run"] == "0123456789abcdef"


def test_no_flavor_and_no_function(folder: Path, tmp_path: Path) -> None:
    (folder / FILE).write_text(mlmodel({"spark": {"model_data": "sparkml"}}))
    with pytest.raises(BadArtefact, match="none of which is converted here, and no python_function"):
        from_mlflow.convert(Source("m", folder), tmp_path)


def test_who_is_recognised(folder: Path) -> None:
    (folder / FILE).write_text(mlmodel({"python_function": pyfunc()}))
    (folder / "score.py").write_text("")
    assert converter_for(Source("m", folder)) is from_mlflow
    assert from_mlflow.recognises(Source("m", folder / FILE))
    assert not from_mlflow.recognises(Source("m", folder, script=Path("score.py")))
    assert not from_mlflow.recognises(Source("m", folder.parent)) and not from_mlflow.recognises(Source("m"))
    assert not takes_body(str(folder), None)  # rows, unlike other folders of scripts
    assert takes_body(str(folder), "score.py") and not takes_body(None, None)


@pytest.mark.parametrize("address", ["models:/churn/3", "runs:/0123/model", "mlflow-artifacts:/1/model"])
def test_addresses_of_mlflow_say_what_to_type(packaged: Packager, address: str) -> None:
    with pytest.raises(UsageError, match=rf"mlflow artifacts download -u {address} -d FOLDER"):
        packaged(address)


@pytest.mark.parametrize("inside", ["artifacts", "artifacts/model"])
def test_a_run_or_a_logged_model_is_the_model_in_it(tmp_path: Path, inside: str) -> None:
    place = tmp_path / "m-922a215a41494c71a6e35021256c4b5e"
    (place / inside).mkdir(parents=True)
    (place / inside / FILE).write_text(mlmodel({"python_function": pyfunc()}))
    assert converter_for(Source("m", place)) is from_mlflow
    (tmp_path / "work").mkdir()
    conversion = from_mlflow.convert(Source("m", place), tmp_path / "work")
    assert "models/MLmodel" in conversion.files and not any("artifacts" in name for name in conversion.files)
    (place / "artifacts/other").mkdir()
    (place / "artifacts/other" / FILE).write_text("")
    assert not from_mlflow.recognises(Source("m", place)), "which of the two is not said"
    place.rename(tmp_path / "project")
    assert not from_mlflow.recognises(Source("m", tmp_path / "project")), "it may hold anything"


def test_links_out_of_the_folder_are_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.keras").write_text("")
    (folder / "data").mkdir()
    (folder / "data/model.keras").symlink_to(tmp_path / "secret.keras")
    (folder / FILE).write_text(mlmodel({"keras": {"data": "data"}}))
    with pytest.raises(BadArtefact, match="'data' leads out of the model's directory"):
        from_mlflow.convert(Source("m", folder), folder)


def test_predictions_that_hang_on_parameters_are_mlflows_own(folder: Path, tmp_path: Path) -> None:
    (folder / "model.ubj").write_bytes(b"{L")
    said = signature(columns("a"), params=[{"name": "output_margin", "type": "boolean", "default": False}])
    flavors = {"xgboost": {"data": "model.ubj"}, "python_function": pyfunc()}
    (folder / FILE).write_text(mlmodel(flavors, signature=said))
    conversion = from_mlflow.convert(Source("m", folder), tmp_path)
    assert conversion.engine == "script" and "parameters (output_margin)" in conversion.reason


TENSOR = [{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 4]}}]
FLAT = [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1]}}]


@pytest.mark.parametrize(
    ("flavor", "inputs", "outputs", "form"),
    [
        ("sklearn", columns("a"), FLAT, "numbers"), ("sklearn", None, None, "numbers"),
        ("xgboost", TENSOR, FLAT, "numbers"), ("lightgbm", columns("a"), TENSOR, ""),
        ("sklearn", columns("a"), [{"type": "tensor", "tensor-spec": 3}], "numbers"),
        ("pytorch", TENSOR, TENSOR, ""), ("pytorch", columns("a"), TENSOR, "columns"), ("keras", None, None, ""),
        ("tensorflow", columns("a"), None, "columns"), ("onnx", columns("a"), None, "records"),
        ("onnx", TENSOR, None, "outputs"), ("onnx", None, None, ""),
    ],
)  # fmt: skip
def test_how_the_answer_is_told(folder: Path, flavor: str, inputs: Any, outputs: Any, form: str) -> None:
    (folder / FILE).write_text(mlmodel({flavor: {}}, signature=signature(inputs, outputs)))
    assert from_mlflow.form_of(read_model(folder), flavor) == form


def test_a_pickle_that_needs_code_beside_it_is_mlflows_to_load(folder: Path, tmp_path: Path) -> None:
    """A transformer of the author's own in code/: this interpreter does not find it, MLflow does."""
    module = types.ModuleType("own_steps")
    exec("class Doubled:\n    pass\n", module.__dict__)  # noqa: S102  # a class of a module that is nowhere else
    sys.modules["own_steps"] = module
    try:
        data = pickle.dumps(module.Doubled())
    finally:
        del sys.modules["own_steps"]
    (folder / "model.pkl").write_bytes(data)
    (folder / "code").mkdir()
    (folder / "code/own_steps.py").write_text("class Doubled:\n    pass\n")
    flavors = {"sklearn": {"pickled_model": "model.pkl", "code": "code"}, "python_function": pyfunc(code="code")}
    (folder / FILE).write_text(mlmodel(flavors))
    conversion = from_mlflow.convert(Source("m", folder, trust_pickle=True), tmp_path)
    assert conversion.engine == "script" and "flavor sklearn: " in conversion.reason
    assert "models/code/own_steps.py" in conversion.files
    with pytest.raises(BadArtefact, match="--trust-pickle"):
        from_mlflow.convert(Source("m", folder), tmp_path)


def test_folders_with_spaces_and_names_of_all_scripts(packaged: Packager, tmp_path: Path) -> None:
    place = tmp_path / "mödel 東京 (1)"
    scorer(place / "mödel 1.onnx")
    (place / FILE).write_bytes(("\ufeff" + mlmodel({"onnx": {"data": "mödel 1.onnx"}})).encode())
    assert packaged(place).manifest.engine == "onnx"


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"model_type": "CatBoost"}, "raw values of a CatBoost"),
        ({"model_type": "CatBoostClassifier", "save_format": "json"}, "CatBoost's format json"),
    ],
)
def test_a_catboost_model_that_its_file_does_not_tell_in_full(
    folder: Path, tmp_path: Path, keys: dict[str, str], told: str
) -> None:
    (folder / "model.cb").write_bytes(b"CBM1")
    flavors = {"catboost": {"data": "model.cb", **keys}, "python_function": pyfunc(loader_module="mlflow.catboost")}
    (folder / FILE).write_text(mlmodel(flavors))
    conversion = from_mlflow.convert(Source("m", folder), tmp_path)
    assert conversion.engine == "script" and told in conversion.reason
