"""Our stand-in for inference_schema, held to the real one: the same schemas, conversions and errors."""

from __future__ import annotations

import copy
import datetime
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gantline.accelerators.script import shim_schema, shim_types

schema_util = pytest.importorskip("inference_schema.schema_util")
from inference_schema import schema_decorators  # noqa: E402
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType  # noqa: E402
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType  # noqa: E402
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType  # noqa: E402

REAL: Any = SimpleNamespace(
    N=NumpyParameterType, P=PandasParameterType, S=StandardPythonParameterType,
    input_schema=schema_decorators.input_schema, output_schema=schema_decorators.output_schema, util=schema_util,
)  # fmt: skip
OURS: Any = SimpleNamespace(
    N=shim_types.NumpyParameterType, P=shim_types.PandasParameterType, S=shim_types.StandardPythonParameterType,
    input_schema=shim_schema.input_schema, output_schema=shim_schema.output_schema, util=shim_schema,
)  # fmt: skip
FRAME = pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "t": pd.to_datetime(["2024-01-02", "2024-01-03"]), "f": [0.5, 1.5]})
STRUCT = np.array([(1, "a", 2.0)], dtype=[("i", "i4"), ("s", "U5"), ("f", "f8")])
# how to make a type, and what to feed it
CASES: list[tuple[str, Any, list[Any]]] = [
    ("int", lambda k: k.S(1), [2, "x", 2.5, None]),
    ("float", lambda k: k.S(1.5), [2.5, 2, "x"]),
    ("str", lambda k: k.S("a"), ["b", 1]),
    ("bool", lambda k: k.S(True), [False, 1]),
    ("bytes", lambda k: k.S(b"ab"), ["YWI="]),
    ("datetime", lambda k: k.S(datetime.datetime(2024, 1, 2, 3, 4, 5)), ["2024-05-06T07:08:09", "2024-05-06 07:08"]),
    ("list", lambda k: k.S([1, 2]), [[3], [], "x", {}]),
    ("empty list", lambda k: k.S([]), [[3]]),
    ("mixed list", lambda k: k.S([1, "a", [2]]), [[3]]),
    ("dict", lambda k: k.S({"a": 1, "b": {"c": [1.5]}}), [{"a": 2}, [], "x"]),
    ("tuple", lambda k: k.S((1, 2)), [[3, 4]]),
    ("nested", lambda k: k.S({"n": k.N(np.array([[1, 2]])), "s": "a"}), [{"n": [[3, 4]]}, {"n": [1]}, {}]),
    ("list of arrays", lambda k: k.S([k.N(np.array([1.0]))]), [[[1], [2, 3]], {"a": 1}]),
    ("array", lambda k: k.N(np.array([[1, 2, 3]])), [[[4, 5, 6], [7, 8, 9]], [[1, 2]], [1], "x", [[1, "x", 2]], []]),
    ("float array", lambda k: k.N(np.array([1.5], "float32")), [[1, 2], [[1]]]),
    ("free array", lambda k: k.N(np.array([[1]]), enforce_column_type=False, enforce_shape=False), [[1.5], [["a"]]]),
    ("bool array", lambda k: k.N(np.array([True])), [[True, False]]),
    ("string array", lambda k: k.N(np.array(["ab"])), [["abc"]]),
    ("dates", lambda k: k.N(np.array(["2024-01-02"], "datetime64[s]")), [["2024-05-06"]]),
    ("durations", lambda k: k.N(np.array([5], "timedelta64[s]")), [["7 seconds"], ["7 moons"]]),
    ("records", lambda k: k.N(STRUCT), [[{"i": 1, "s": "b", "f": 3}], [[1, "b", 3.5]]]),
    ("frame", lambda k: k.P(FRAME), [[{"a": 1, "b": "z", "t": "2024-01-05", "f": 1}], [{"a": 1}], 3, [{"a": "x"}]]),
    ("frame split", lambda k: k.P(FRAME, orient="split"), [{"columns": list("abtf"), "data": [[1, "b", 0, 1]]}]),
    ("frame index", lambda k: k.P(FRAME, orient="index"), []),
    ("frame columns", lambda k: k.P(FRAME, orient="columns"), []),
    ("frame values", lambda k: k.P(FRAME[["a", "f"]], orient="values"), []),
    ("frame loose", lambda k: k.P(FRAME, enforce_shape=False, enforce_column_type=False), [[{"q": 1}]]),
]


@pytest.mark.parametrize(("name", "make", "values"), CASES, ids=[c[0] for c in CASES])
def test_the_same_as_the_real_one(name: str, make: Any, values: list[Any]) -> None:
    runs = [_decorated(kit, make) for kit in (REAL, OURS)]
    for ask in ("get_input_schema", "get_output_schema", "get_supported_versions", "is_schema_decorated"):
        theirs, ours = (getattr(kit.util, ask)(run) for kit, run in zip((REAL, OURS), runs, strict=True))
        assert ours == theirs, ask
    for value in values:
        theirs, ours = (_outcome(run, copy.deepcopy(value)) for run in runs)
        assert ours == theirs, value


def _decorated(kit: Any, make: Any) -> Any:
    def run(x: Any, other: Any = None) -> Any:
        return x

    return kit.input_schema("x", make(kit))(kit.output_schema(make(kit))(run))


@pytest.fixture(autouse=True)
def _fresh() -> None:
    for module in (schema_util, shim_schema):
        _forget(module)


def _forget(module: ModuleType) -> None:
    for name in ("__functions_schema__", "__versions__", "_schemas", "_versions"):
        getattr(module, name, {}).clear()


def _outcome(run: Any, value: Any) -> Any:
    try:
        found = run(x=value)
    except Exception as e:
        return type(e).__name__
    if isinstance(found, np.ndarray):
        return str(found.dtype), found.tolist()
    if isinstance(found, pd.DataFrame):
        return {c: str(t) for c, t in found.dtypes.items()}, found.astype(str).values.tolist()
    return repr(found)


def test_positional_arguments_are_converted_too() -> None:
    for kit in (REAL, OURS):
        _forget(kit.util)
        assert _decorated(kit, lambda k: k.N(np.array([1])))([3]).tolist() == [3]


def test_an_optional_parameter_may_be_left_out() -> None:
    for kit in (REAL, OURS):
        _forget(kit.util)

        @kit.input_schema("x", kit.N(np.array([1])), optional=True)  # type: ignore[untyped-decorator]
        def run(x: Any = None) -> Any:
            return x

        assert run() is None and run(x=[2]).tolist() == [2]


def test_dates_work_where_the_real_one_fails() -> None:
    # inference-schema 1.8 calls datetime.date.strptime, which Python has from 3.14 on
    day = shim_types.StandardPythonParameterType(datetime.date(2024, 1, 2))
    assert day.deserialize_input("2025-03-04") == datetime.date(2025, 3, 4)
    time = shim_types.StandardPythonParameterType(datetime.time(1, 2))
    assert time.deserialize_input("03:04") == datetime.time(3, 4)


def test_wrong_declarations_are_refused() -> None:
    wrong = ((OURS.input_schema, "x", 3), (OURS.output_schema, 3), (OURS.N, [1]), (OURS.P, [1]))
    for make, *words in wrong:
        with pytest.raises(Exception, match=r"must be a subclass|must provide"):
            make(*words)
