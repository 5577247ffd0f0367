"""Models that MLflow 3.17 logged with their own frameworks, packaged, and asked the same as MLflow's own server.

XGBoost, LightGBM, CatBoost and Keras are not in this interpreter: a child in another one converts their files.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from gantline.accelerators.script.environment import Environment, _source_view
from gantline.builders import from_pickle, mlflow_elsewhere, tf_child

import gantline
from gantline.errors import UsageError
from gantline.manifest import EnvironmentRequest
from gantline.packages import Package

from .test_mlflow_oracle import post

HERE = Path(__file__).parent
pytestmark = [pytest.mark.oracle, pytest.mark.slow]
Serving = Callable[..., AbstractContextManager[str]]
JSON, CSV = "application/json", "text/csv"
NUMBERS: dict[str, Any] = {
    "columns": ["c", "a", "b"],
    "data": [[0.5, -1.25, 2.0], [-0.75, 0.5, 1.5], [1.5, 0.25, -2.0]],
}
MIXED: dict[str, Any] = {
    "columns": ["city", "rooms", "area"],
    "data": [["Tromsø", 2, 80.5], ["Rome, Italy", 4, None], ["x", 1, 30]],
}
SHUFFLED = {"columns": ["b", "c", "a"], "data": [[row[2], row[0], row[1]] for row in NUMBERS["data"]]}
TABLES = ("trees", "labels", "oblivious", "binary", "pickled", "netframe", "graphframe")
CASES = [
    *([name, JSON, json.dumps({"dataframe_split": NUMBERS})] for name in TABLES),
    *([name, JSON, json.dumps({"dataframe_split": SHUFFLED})] for name in TABLES),
    *([name, CSV, "c,a,b\n0.5,-1.25,2.0\n1.5,0.25,-2\n"] for name in TABLES),
    *([name, JSON, json.dumps({"inputs": NUMBERS["data"]})] for name in ("net", "graph", "layers")),
    *([name, JSON, json.dumps({"instances": NUMBERS["data"][:1]})] for name in ("net", "graph", "layers")),
    ["pipeline", JSON, json.dumps({"dataframe_split": MIXED})],
    ["pipeline", JSON, json.dumps({"dataframe_records": [{"area": 70.5, "city": "東京", "rooms": 3}]})],
    ["pipeline", CSV, 'city,rooms,area\n"Rome, Italy",4,\nTromsø,2,80.5\n'],
]


@pytest.fixture(scope="module")
def rivals() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rivals", HERE.parent.parent / "scripts" / "rivals.py")
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


class Logged:
    """What MLflow logged, and its interpreter with frameworks of others behind its own."""

    def __init__(self, folder: Path, python: Path, sites: list[str]) -> None:
        self.folder, self._python, self._sites = folder, python, sites
        self._run("save", str(folder))
        told = json.loads((folder / "models.json").read_text())
        self.run, self.models = told["run"], told["models"]

    def answers(self, cases: list[list[str]]) -> list[Any]:
        """MLflow's own to each."""
        (self.folder / "cases.json").write_text(json.dumps(cases))
        self._run("ask", str(self.folder), str(self.folder / "cases.json"))
        found: list[Any] = json.loads((self.folder / "answers.json").read_text())
        return found

    def _run(self, *words: str) -> None:
        command = [str(self._python), str(HERE / "mlflow_flavors.py"), *words, *self._sites]
        variables = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=self.folder, env=variables, timeout=400, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def logged(
    rivals: ModuleType, boosters: Environment, tensorflow: Environment, tmp_path_factory: pytest.TempPathFactory
) -> Logged:
    torch = pytest.importorskip("torch")
    others = (boosters.python, tensorflow.python)
    sites = [str(next(python.parent.parent.glob("lib/*/site-packages"))) for python in others]
    sites.append(str(Path(torch.__file__).parent.parent))
    return Logged(tmp_path_factory.mktemp("mlflow"), rivals.ensure("mlflow"), sites)


@pytest.fixture(scope="module")
def boosters(rivals: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(rivals.ensure("boosters"), _source_view(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="module")
def tensorflow(rivals: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(rivals.ensure("tensorflow"), _source_view(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="module")
def asked(boosters: Environment, tensorflow: Environment) -> Iterator[list[EnvironmentRequest]]:
    """The environments that were asked for, each of which is there already: making them takes pip minutes."""
    requests: list[EnvironmentRequest] = []

    def prepare(request: EnvironmentRequest) -> Environment:
        requests.append(request)
        return tensorflow if "keras==3.15.1" in request.requirements else boosters

    with pytest.MonkeyPatch.context() as patch:
        for module in (mlflow_elsewhere, from_pickle, tf_child):
            patch.setattr(module, "prepare", prepare)
        yield requests


@pytest.fixture(scope="module")
def packages(logged: Logged, asked: list[EnvironmentRequest]) -> dict[str, Package]:
    target = logged.folder / "packages"
    found = {}
    for name, place in logged.models.items():
        env = Path(place, "requirements.txt") if name == "layers" else None
        options: dict[str, Any] = {"trust_pickle": name == "pickled", "env": env}
        found[name] = gantline.package(place, name=name, output=target / f"{name}.pkg", **options)
    return found


def test_a_framework_that_is_not_here_is_named_with_its_versions(logged: Logged, tmp_path: Path) -> None:
    if importlib.util.find_spec("keras") is not None:
        pytest.skip("keras is here")
    with pytest.raises(UsageError, match=r"needs .*keras.*the versions that made it: --env .*requirements\.txt"):
        gantline.package(logged.models["layers"], name="layers", output=tmp_path / "layers.pkg")


def same(got: Any, want: Any) -> bool:
    """Equal but for what float32 rounds."""
    if isinstance(want, dict):
        return isinstance(got, dict) and got.keys() == want.keys() and all(same(got[k], want[k]) for k in want)
    if isinstance(want, list):
        return isinstance(got, list) and len(got) == len(want) and all(map(same, got, want))
    if isinstance(want, float) and isinstance(got, float | int):
        return math.isclose(got, want, rel_tol=1e-4, abs_tol=1e-5)
    return type(got) is type(want) and bool(got == want)


def test_the_same_answers_as_mlflows_own_server(logged: Logged, packages: dict[str, Package], serving: Serving) -> None:
    assert {name for name, _, _ in CASES} == set(packages)
    wanted = logged.answers(CASES)
    with serving(logged.folder / "packages") as url:
        for (name, kind, body), want in zip(CASES, wanted, strict=True):
            for _ in range(2):  # the second is read and written by what the first has left
                status, answer = post(url, kind, body, f"/models/{name}/invoke")
                assert status == 200, (name, body, answer)
                assert same(json.loads(answer), want), (name, body, answer, want)


def test_what_became_of_each(packages: dict[str, Package]) -> None:
    engines = {name: p.manifest.engine for name, p in packages.items() if name != "net"}
    assert engines == dict.fromkeys(engines, "onnx")
    assert packages["net"].manifest.engine in ("onnx", "torch"), "as torch's exporter can"
    forms = {name: p.manifest.table.form for name, p in packages.items()}
    assert forms == {
        "pipeline": "numbers", "trees": "numbers", "oblivious": "numbers", "binary": "numbers", "labels": "",
        "pickled": "", "net": "", "netframe": "columns", "graph": "outputs", "graphframe": "records",
        "layers": "",
    }  # fmt: skip
    for name, package in packages.items():
        parity = package.manifest.parity
        if name.startswith("graph"):
            continue  # an ONNX file is its own source
        assert parity is not None, name
        assert parity.sample == ("given" if name in ("pipeline", "trees", "net", "netframe") else "synthetic"), name


def test_what_is_installed_for_a_boosters_file(packages: dict[str, Package], asked: list[EnvironmentRequest]) -> None:
    """The recorded framework and what converts, and nothing of MLflow's."""
    lines = [set(request.requirements) for request in asked]
    assert any("xgboost-cpu==3.2.0" in found for found in lines)
    assert any("lightgbm==4.7.0" in found and "scikit-learn==1.9.1" in found for found in lines)
    assert not any(line.startswith("mlflow") for found in lines for line in found if "keras==3.15.1" not in found)
    assert any("xgboost-cpu==3.2.0, as recorded" in note for note in packages["trees"].manifest.notes)


def test_the_run_is_kept(logged: Logged, packages: dict[str, Package]) -> None:
    for package in packages.values():
        told = package.lineage()
        assert told["run"] == logged.run and told["run_name"] == "first"
        assert json.loads(told["params"]) == {"depth": "3", "note": "ünï"}
        assert told["run_git_commit"].startswith("0123456789abcdef")
        assert told["run_git_remote"] == "https://example.com/houses.git"
        assert told["dataset"].startswith("houses (") and "secret" not in json.dumps(told)
