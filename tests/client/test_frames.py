"""Tables in, tables out, over a real server; and columns named by labels."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gantline.cli import main
from gantline.client import AsyncClient, Client, Result
from gantline.client.frames import columns_of, is_table, table_like
from gantline.errors import BadRequest, UsageError
from gantline.request import Reply
from gantline.signature import Signature, TensorSpec

FRAME = pd.DataFrame({"age": [25.0, 41.5], "city": ["Zürich", "Bern"]}, index=pd.Index([7, 8], name="person"))


def result(**outputs: Any) -> Result:
    return Result(Reply("m", "1", [(n, np.asarray(a)) for n, a in outputs.items()]))


def test_a_frame_is_answered_by_one_with_its_index(url: str) -> None:
    with Client(url) as client:
        answered = client.predict("columns", FRAME)
        assert answered.index.equals(FRAME.index) and answered.index.name == "person"
        assert answered.to_dict("list") == {"age_out": [25.0, 41.5], "city_out": ["Zürich", "Bern"]}
        wide = client.predict("double", pd.DataFrame(np.ones((2, 3)), columns=list("abc")))
        assert list(wide.columns) == ["y_0", "y_1", "y_2"] and (wide == 2).all().all()


def test_arrays_are_answered_by_arrays(url: str) -> None:
    with Client(url) as client:
        for given in (np.ones((1, 3), np.float32), {"x": np.ones((1, 3), np.float32)}, [[1, 1, 1]]):
            found = client.predict("double", given)
            assert isinstance(found, Result) and found["y"].tolist() == [[2, 2, 2]]
        assert client.predict("double", np.ones((1, 3))).frame().to_dict("list") == {"y_0": [2], "y_1": [2], "y_2": [2]}


def test_awaited(url: str) -> None:
    async def ask() -> pd.DataFrame:
        async with AsyncClient(url) as client:
            return await client.predict("columns", FRAME)

    assert asyncio.run(ask()).city_out.tolist() == ["Zürich", "Bern"]


def test_labels_and_columns_reach_the_client(tmp_path: Path, serving: Any, capsys: pytest.CaptureFixture[str]) -> None:
    sklearn = pytest.importorskip("sklearn.linear_model")
    from sklearn.datasets import load_iris

    import gantline

    iris = load_iris(as_frame=True)
    rows: pd.DataFrame = iris.data
    model = sklearn.LogisticRegression(max_iter=500).fit(rows, iris.target_names[iris.target])
    gantline.package(model, name="iris", output=tmp_path / "iris", sample=rows)
    with serving(tmp_path / "iris") as url, Client(url) as client:
        found = client.predict("iris", rows.iloc[[0, 100]])
        probabilities = [c for c in found.columns if c.startswith("prob")]
        assert [c.rpartition("_")[2] for c in probabilities] == ["setosa", "versicolor", "virginica"]
        assert found[probabilities].to_numpy().argmax(axis=1).tolist() == [0, 2]
        assert found.index.tolist() == [0, 100]
        _by_name(client, rows.iloc[[0, 100]], found)
        file = tmp_path / "rows.csv"
        rows.iloc[[0], ::-1].to_csv(file, index=False)
        assert main(["infer", "iris", "--input", str(file), "--url", url, "--json"]) == 0
        assert "setosa" in capsys.readouterr().out


def _by_name(client: Client, rows: pd.DataFrame, wanted: pd.DataFrame) -> None:
    """A table's columns are those that the model was fitted on, wherever they stand."""
    names = list(rows.columns)
    assert client.columns("iris") == tuple(names)
    for other in (rows[names[::-1]], rows.assign(more=1.0), rows.set_axis(range(4), axis=1)):
        pd.testing.assert_frame_equal(client.predict("iris", other), wanted)
    records: Any = rows[names[::-1]].to_dict("records")
    assert client.predict("iris", records).text("label").tolist() == wanted["label"].tolist()
    with pytest.raises(BadRequest, match=r"model 'iris': no column 'petal width \(cm\)'; the model takes"):
        client.predict("iris", rows[names[:3]])


def test_columns() -> None:
    labelled = Signature((), (TensorSpec("p", "FP32", (-1, 2), labels=("no", "yes")),))
    found = columns_of(result(p=[[0.1, 0.9]], one=[[3]], flat=[4]), labelled)
    assert {n: a.tolist() for n, a in found.items()} == {"p_no": [0.1], "p_yes": [0.9], "one": [3], "flat": [4]}
    twice = Signature((), (TensorSpec("p", "FP32", (-1, 2), labels=("a", "a")),))
    assert list(columns_of(result(p=[[0.1, 0.9]]), twice)) == ["p_0", "p_1"]


@pytest.mark.parametrize("shape", [(), (2, 2, 2), (3,), (3, 1)])
def test_what_is_no_table(shape: tuple[int, ...]) -> None:
    with pytest.raises(
        BadRequest, match=r"model 'm': output 'y' has shape .*, which is no table of 2 rows; infer\(\) gives"
    ):
        columns_of(result(x=[1, 2], y=np.zeros(shape)), None)


def test_columns_that_would_share_a_name_are_refused() -> None:
    with pytest.raises(BadRequest, match="two columns would be called 'p_0'"):
        columns_of(result(p=[[0.1, 0.9]], p_0=[1]), None)


def test_tables_derived_from_pandas() -> None:
    class Own(pd.DataFrame):
        pass

    found = table_like(Own({"x": [1, 2]}, index=[7, 8]), result(y=[3, 4]), Signature((), ()))
    assert found.index.tolist() == [7, 8] and found["y"].tolist() == [3, 4]


def test_other_tables_are_refused() -> None:
    class Other(dict[str, Any]):
        columns = ("x",)

    assert is_table(Other()) and not is_table(np.zeros(3)) and not is_table({"columns": []})
    with pytest.raises(UsageError, match="Other: hand in a pandas or polars DataFrame"):
        table_like(Other(), result(), Signature((), ()))


def test_what_is_no_column_is_an_error_of_the_request(url: str) -> None:
    pa = pytest.importorskip("pyarrow")
    with Client(url) as client:
        with pytest.raises(BadRequest, match="hand in a pandas or polars DataFrame"):
            client.predict("columns", pa.table({"age": [1.0], "city": ["a"]}))
        with pytest.raises(BadRequest, match="model 'columns': column 'age': expected numbers or text, found datetime"):
            client.predict("columns", FRAME.assign(age=pd.Timestamp("2024-01-02")))
        with pytest.raises(BadRequest, match="model 'columns': two columns are called 'age'"):
            client.predict("columns", pd.concat([FRAME, FRAME], axis=1))


def test_a_users_program_runs(url: str) -> None:
    """It is also checked with the strictest types, as all tests are checked with strict ones."""
    sample = Path(__file__).with_name("user_sample.py")
    done = subprocess.run([sys.executable, sample, url], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert "Bern" in done.stdout and "Basel" not in done.stdout and "True" in done.stdout
