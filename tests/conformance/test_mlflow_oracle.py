"""MLflow 3.17's scoring server and Gantline, asked the same, answer the same; and MLflow's own client asks Gantline.

The cases are those of MLflow's scoring-server tests in other words. Two differences are on purpose: no error quotes the
input, and text among numbers is an error where MLflow parses it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

HERE = Path(__file__).parent
pytestmark = [pytest.mark.oracle, pytest.mark.slow]
Serving = Callable[..., AbstractContextManager[str]]
Case = tuple[str, str]

NAMES = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]
ROWS = [[5.1, 3.5, 1.4, 0.2], [7.1, 3.5, 5.4, 2.2], [6.0, 3.0, 4.4, 1.3]]
MIXED = {"columns": NAMES[::-1], "index": [7, 8, 9], "data": [row[::-1] for row in ROWS]}
JSON, CSV = "application/json", "text/csv"
HEADER = ",".join(NAMES)


def told(tree: Any, kind: str = JSON) -> Case:
    return kind, json.dumps(tree)


def columns() -> dict[str, list[float]]:
    return {name: [row[i] for row in ROWS] for i, name in enumerate(NAMES)}


def records() -> list[dict[str, float]]:
    return [dict(zip(NAMES, row, strict=True)) for row in ROWS]


IRIS: list[Case] = [
    told({"dataframe_split": {"columns": NAMES, "data": ROWS}}),
    told({"dataframe_split": MIXED}, "application/json; charset=utf-8"),
    told({"dataframe_split": {"columns": [*NAMES, "more"], "data": [[*row, "x"] for row in ROWS]}}),
    told({"dataframe_records": records()}),
    told({"inputs": columns()}),
    told({"instances": records()}),
    told({"dataframe_split": MIXED, "params": {"unknown": 1}}),
    (CSV, HEADER + "\n" + "\n".join(",".join(map(str, row)) for row in ROWS)),
    (CSV, f"more,{HEADER}\nx,5.1,3.5,1.4,0.2\n"),
    # what is wrong
    (JSON, ""),
    (JSON, "not json"),
    (JSON, '{"inputs": [1'),
    told([]),
    told(ROWS),
    told("text"),
    told({}),
    told({"columns": NAMES, "data": ROWS}),
    told({"inputs": columns(), "instances": records()}),
    told({"dataframe_split": ROWS}),
    told({"dataframe_split": {"columns": NAMES}}),
    told({"dataframe_split": {"columns": NAMES, "data": ROWS, "more": 1}}),
    told({"dataframe_split": {"columns": NAMES[:2], "data": ROWS}}),
    told({"dataframe_split": {"columns": NAMES[:3], "data": [row[:3] for row in ROWS]}}),
    told({"dataframe_records": columns()}),
    told({"dataframe_records": [{"more": 1}]}),
    told({"inputs": {NAMES[0]: [1]}}),
    told({"inputs": {**columns(), NAMES[0]: ["text"] * 3}}),
    told({"inputs": {**columns(), NAMES[0]: [1.0]}}),
    (CSV, ""),
    (CSV, f"{HEADER}\n1,2,text,4\n"),
    (CSV, "a,b,c,d\n1,2,3,4\n"),
    told({"inputs": columns()}, "application/json; charset=latin-1"),
    told({"inputs": columns()}, "application/json; format=pandas-split"),
    told({"inputs": columns()}, "text/plain"),
    told({"inputs": columns()}, "application/xml"),
]
DAY = "2024-05-06T00:00:00"
MADE: list[Case] = [
    told({"dataframe_split": {"columns": ["a", "b", "d"], "data": [[1, "x", DAY], [2.5, None, DAY]]}}),
    told({"dataframe_records": [{"a": 1.5, "b": "x", "d": DAY}], "params": {"by": 2.5}}),
    (CSV, "a,b,d\n1.5,x,2024-05-06\n"),
    told({"dataframe_records": [{"a": "secret", "b": "x", "d": DAY}]}),
    told({"dataframe_records": [{"b": "x", "d": DAY}]}),
    told({"dataframe_records": [{"a": 1.5, "b": "x", "d": "secret"}]}),
    told({"dataframe_records": [{"a": 1.5, "b": "x", "d": DAY}], "params": {"by": "secret"}}),
    told([]),
    (JSON, "secret"),
    told({}, "text/plain"),
]


@pytest.fixture(scope="module")
def python(rival: Callable[[str], Path]) -> Path:
    return rival("mlflow")


@pytest.fixture(scope="module")
def saved(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mlflow")
    subprocess.run([python, HERE / "mlflow_oracle.py", "save", folder], check=True, capture_output=True, cwd=folder)
    return folder


def packaged(folder: Path, name: str, *options: str) -> Path:
    target = folder / f"{name}.pkg"
    words = ["package", str(folder / name), "--name", name, "-o", str(target), *options]
    subprocess.run([sys.executable, "-m", "gantline", *words], check=True, capture_output=True)
    return target


def compared(python: Path, folder: Path, name: str, url: str, cases: list[Case]) -> dict[str, Any]:
    """Ours and MLflow's own answer to each case, which are to be equal; what MLflow's client heard."""
    (folder / "cases.json").write_text(json.dumps(cases))
    words = [str(python), str(HERE / "mlflow_oracle.py"), "ask", str(folder), name, url, str(folder / "cases.json")]
    done = subprocess.run(words, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    for (kind, body), (status, want) in zip(cases, found["own"], strict=True):
        got, answer = post(url, kind, body)
        assert got == status, (kind, body, answer)
        if want is not None:
            assert json.loads(answer) == want, (kind, body)
        else:
            tree = json.loads(answer)
            assert set(tree) == {"error_code", "message"} and "secret" not in answer and "\n" not in tree["message"]
    heard: dict[str, Any] = found["heard"]
    return heard


def post(url: str, kind: str, body: str, path: str = "/invocations") -> tuple[int, str]:
    request = Request(url + path, body.encode(), {"Content-Type": kind})
    try:
        with urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as e:
        with e:
            return e.code, e.read().decode()


def test_a_scikit_learn_model(python: Path, saved: Path, serving: Serving) -> None:
    package = packaged(saved, "iris")
    with serving(package) as url:
        heard = compared(python, saved, "iris", url, IRIS)
    assert heard["want"] == [0, 2]
    assert heard["frame"] == heard["array"] == heard["list"] == heard["mixed"] == heard["want"]


def test_a_function_of_ones_own(python: Path, saved: Path, serving: Serving) -> None:
    """Parameters, dates and missing texts, which no tensor carries: MLflow itself is asked, in its own environment."""
    package = packaged(saved, "made", "--trust-pickle")  # its own code runs on the example, in its own environment
    with serving(package) as url:
        heard = compared(python, saved, "made", url, MADE)
    assert heard["params"] == heard["want"] == ["3.5 - 2024"]
