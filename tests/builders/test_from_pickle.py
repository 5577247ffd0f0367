"""Pickles: refused without trust, loaded only in a child with it, and by the scikit-learn that made them."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from gantline.accelerators.script.environment import prepare
from gantline.accelerators.session import Session
from gantline.builders import from_pickle
from gantline.builders.pack import pack
from gantline.builders.pickle_scan import Name, Scan
from gantline.builders.source import Source

from gantline.errors import BadArtefact, UsageError
from gantline.manifest import EnvironmentRequest
from gantline.tensors import Array

pytest.importorskip("sklearn")
OLD = "1.3.2"  # built for numpy 1, and the oldest with wheels for Python 3.11 and 3.12


@pytest.fixture(scope="module")
def iris() -> tuple[Array, Array]:
    from sklearn.datasets import load_iris

    return load_iris(return_X_y=True)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def pipeline(iris: tuple[Array, Array]) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression()).fit(*iris)


def made(path: Path, **more: Any) -> Any:
    return pack(Source("m", path=path, trust_pickle=True, **more), path.parent / "m.pkg")


def test_without_trust_both_ways_out_are_named(tmp_path: Path, pipeline: Any) -> None:
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps(pipeline))
    with pytest.raises(BadArtefact, match=r"runs whatever code.*--trust-pickle, or save the model by skops") as e:
        pack(Source("m", path=path), tmp_path / "m.pkg")
    assert "\n" not in e.value.message


class Evil:
    """Writes its process's number to a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return exec, (f"import os; open({str(self.path)!r}, 'w').write(str(os.getpid()))",)


@pytest.mark.slow
def test_trusted_or_not_a_pickle_never_runs_here(
    tmp_path: Path, pipeline: Any, iris: tuple[Array, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path / "home"))
    canary, path = tmp_path / "canary", tmp_path / "m.joblib"
    joblib.dump(Evil(canary), path)
    with pytest.raises(BadArtefact, match="--trust-pickle"):
        pack(Source("m", path=path), tmp_path / "m.pkg")
    with pytest.raises(BadArtefact, match=r"expected a pickled scikit-learn estimator, found .*builtins\.exec"):
        made(path)
    assert not canary.exists(), "what is no estimator is not even loaded by the child"
    hidden = copy.deepcopy(pipeline)
    hidden.payload = Evil(canary)
    joblib.dump(hidden, path, compress=3)
    with pytest.raises(BadArtefact, match="--trust-pickle"):
        pack(Source("m", path=path), tmp_path / "m.pkg")
    assert not canary.exists()
    package = made(path, sample={"": iris[0]})
    assert int(canary.read_text()) != os.getpid(), "with trust it runs in the child, and only there"
    assert package.manifest.engine == "onnx"
    assert any("--trust-pickle" in n for n in package.manifest.notes)
    session = Session.open(package)
    got = session.run({session.signature.inputs[0].name: iris[0].astype(np.float32)})
    assert np.array_equal(got[0], pipeline.predict(iris[0]))
    assert not (tmp_path / "home").exists(), "the same version needs no environment"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"model": 1}, "found a dict"),
        (len, "found the function or class builtins.len"),
        (np.ones(3), "found a numpy array or number"),
        (subprocess.CompletedProcess([], 0), "found an object of class subprocess.CompletedProcess"),
    ],
)
def test_a_pickle_of_something_else(tmp_path: Path, value: Any, says: str) -> None:
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(value))
    with pytest.raises(BadArtefact, match=says):
        made(tmp_path / "m.pkl")


def by_hand(module: str, name: str, state: bytes = b"}") -> bytes:
    """A pickle of an object of a class that need not be installed."""
    return f"\x80\x02c{module}\n{name}\n)\x81".encode("latin-1") + state + b"b."


def says_version(number: str) -> bytes:
    return f"}}U\x10_sklearn_versionU{chr(len(number))}{number}s".encode("latin-1")


@pytest.mark.parametrize(
    ("content", "error", "says"),
    [
        (by_hand("xgboost.sklearn", "XGBClassifier"), UsageError, r"holds models of XGBoost, .*xgboost==VERSION"),
        (by_hand("lightgbm.sklearn", "LGBMClassifier"), UsageError, r"holds models of LightGBM, .*--env current"),
        (by_hand("torch.nn.modules.linear", "Linear"), BadArtefact, r"torch\.save\(model\.state_dict\(\)\)"),
        (by_hand("shop.models", "Net"), BadArtefact, r"found an object of class shop\.models\.Net"),
        (by_hand("sklearn.svm", "SVC"), BadArtefact, "does not say which scikit-learn made it"),
        (
            by_hand("sklearn.svm", "SVC", b"c__main__\nscale\n"),
            BadArtefact,
            "needs scale, which was defined",
        ),
        (
            by_hand("sklearn.svm", "SVC", says_version("1.5.2").replace(b"}", b"}U\x01acshop.text\nclean\ns", 1)),
            BadArtefact,
            "needs shop beside scikit-learn",
        ),
    ],
)
def test_what_is_known_not_to_work(tmp_path: Path, content: bytes, error: type[Exception], says: str) -> None:
    (tmp_path / "m.pkl").write_bytes(content)
    with pytest.raises(error, match=says):
        made(tmp_path / "m.pkl")


def test_a_mismatch_prints_the_pin(tmp_path: Path) -> None:
    (tmp_path / "m.pkl").write_bytes(by_hand("sklearn.svm", "SVC", says_version("1.2.2")))
    asked = tmp_path / "requirements.txt"
    asked.write_text("scikit-learn>=1.5\nnumpy\n")
    with pytest.raises(UsageError, match=r"asks for scikit-learn>=1\.5, but .*; pin scikit-learn==1\.2\.2"):
        made(tmp_path / "m.pkl", environment=asked)
    with pytest.raises(UsageError, match=rf"this interpreter has {version('scikit-learn')}.*scikit-learn==1\.2\.2"):
        made(tmp_path / "m.pkl", environment=Path("current"))


def test_an_environment_of_its_time() -> None:
    new = Scan(None, frozenset({Name("numpy._core.multiarray", "_reconstruct")}), ())
    lines = from_pickle._requirements((), new, "1.3.2")
    assert {"scikit-learn==1.3.2", "numpy>=1.26.1,<2", "scipy<1.12", "skops"} <= set(lines)
    assert "numpy>=2" in from_pickle._requirements((), new, "1.5.2")
    lines = from_pickle._requirements(("numpy==2.1", "scikit-learn"), new, "1.5.2")
    assert [x for x in lines if x.startswith(("numpy", "scikit-learn"))] == ["numpy==2.1", "scikit-learn==1.5.2"]
    loose = from_pickle._requirements(("scikit-learn>=1.5",), new, "1.5.2")
    assert {"scikit-learn>=1.5", "scikit-learn==1.5.2"} <= set(loose), "or pip would take the newest"
    frames = Scan(None, frozenset({Name("pandas", "Index")}), ())
    assert "pandas" in from_pickle._requirements((), frames, "1.5.2")


@pytest.mark.slow
def test_a_pickle_that_does_not_load_says_why(tmp_path: Path) -> None:
    content = by_hand("sklearn.svm", "NoSuchModel", says_version(version("scikit-learn")))
    (tmp_path / "m.pkl").write_bytes(content)
    with pytest.raises(BadArtefact, match=r"cannot be loaded by the scikit-learn that made it: AttributeError") as e:
        made(tmp_path / "m.pkl")
    assert "\n" not in e.value.message


MAKE_OLD = """
import joblib
from sklearn.datasets import load_iris
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
X, y = load_iris(return_X_y=True)
model = make_pipeline(StandardScaler(), HistGradientBoostingClassifier(max_iter=10, random_state=0)).fit(X, y)
joblib.dump(model, "old.joblib", compress=3)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 13), reason=f"scikit-learn {OLD} has no wheels for it")
def test_a_pickle_of_an_older_scikit_learn(
    tmp_path: Path, iris: tuple[Array, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made, loaded and converted by scikit-learn 1.3 on numpy 1; checked here against what that says."""
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path / "home"))
    lines = from_pickle._requirements((), Scan(None, frozenset(), ()), OLD)
    old = prepare(EnvironmentRequest("requirements", "", lines))
    assert old.packages["scikit-learn"] == OLD
    assert old.packages["numpy"].startswith("1.")
    subprocess.run([old.python, "-I", "-c", MAKE_OLD], cwd=tmp_path, check=True)
    source = Source("m", path=tmp_path / "old.joblib", trust_pickle=True, sample={"": iris[0]})
    package = pack(source, tmp_path / "old.pkg")
    assert package.manifest.engine == "onnx"
    assert package.manifest.source is not None
    assert package.manifest.source.versions["scikit-learn"] == OLD
    assert package.manifest.parity is not None
    assert package.manifest.parity.rows == 150
    assert package.manifest.parity.near_threshold_probes > 100
    assert package.manifest.parity.label_flips == 0
    session = Session.open(package)
    got = session.run({session.signature.inputs[0].name: iris[0].astype(np.float32)})[0]
    assert (got == iris[1]).mean() > 0.9
