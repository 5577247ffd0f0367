"""Shim for inference_schema's parameter types: conversion from JSON, and schema, as inference-schema 1.8 has them."""

from __future__ import annotations

import base64
import datetime
import json
from io import StringIO
from typing import Any

_UTC = datetime.UTC
_NUMPY_FORMATS = {"float16": "float", "float32": "float", "float64": "double"}
_UNITS = {
    "years": "Y", "months": "M", "weeks": "W", "days": "D", "hours": "h", "minutes": "m", "seconds": "s",
    "milliseconds": "ms", "microseconds": "us", "nanoseconds": "ns", "picoseconds": "ps", "femtoseconds": "fs",
    "attoseconds": "as",
}  # fmt: skip


class AbstractParameterType:
    """What a parameter is like, by a sample of it."""

    def __init__(self, sample_input: Any) -> None:
        self.sample_input = sample_input
        self.sample_data_type = type(sample_input)

    def deserialize_input(self, input_data: Any) -> Any:
        raise NotImplementedError

    def input_to_swagger(self) -> dict[str, Any]:
        raise NotImplementedError

    def supported_versions(self) -> list[str]:
        """2.0 too, unless an array of the sample mixes types."""
        return ["2.0", "3.0", "3.1"] if _uniform(self.input_to_swagger()["example"]) else ["3.0", "3.1"]


class NumpyParameterType(AbstractParameterType):
    """An array like the sample: same dtype, and same size in all dimensions but the first."""

    def __init__(self, sample_input: Any, enforce_column_type: bool = True, enforce_shape: bool = True) -> None:
        import numpy as np

        if not isinstance(sample_input, np.ndarray):
            raise Exception("Invalid sample input provided, must provide a sample Numpy array.")
        super().__init__(sample_input)
        self.enforce_column_type = enforce_column_type
        self.enforce_shape = enforce_shape

    def deserialize_input(self, input_data: Any) -> Any:
        import numpy as np

        if isinstance(input_data, np.ndarray):
            return input_data
        if not isinstance(input_data, list):
            raise ValueError("Invalid input format: expected an array of items.")
        dtype = self.sample_input.dtype
        if self.enforce_column_type:
            array = np.array([_element(item, dtype) for item in input_data], dtype=dtype)
        else:
            array = np.array(input_data)
        if self.enforce_shape:
            _same_shape("array", "an array", array.shape, self.sample_input.shape)
        return array

    def input_to_swagger(self) -> dict[str, Any]:
        schema: dict[str, Any] = _dtype_schema(self.sample_input.dtype)
        for _ in range(max(self.sample_input.ndim, 1)):
            schema = {"type": "array", "items": schema}
        schema["example"] = [_example(schema["items"], item) for item in self.sample_input]
        schema["format"] = "numpy.ndarray"
        return schema


class PandasParameterType(AbstractParameterType):
    """A data frame like the sample: same number of columns, same dtype for those of its names."""

    def __init__(
        self, sample_input: Any, enforce_column_type: bool = True, enforce_shape: bool = True,
        apply_column_names: bool = False, orient: str = "records",
    ) -> None:  # fmt: skip
        import pandas as pd

        if not isinstance(sample_input, pd.DataFrame):
            raise Exception("Invalid sample input provided, must provide a sample Pandas Dataframe.")
        orients = ("split", "records", "index", "columns", "values", "table")
        if orient not in orients:
            raise Exception(f"Invalid orient provided, must be one of {orients}")
        super().__init__(sample_input)
        self.enforce_column_type = enforce_column_type
        self.enforce_shape = enforce_shape
        self.apply_column_names = apply_column_names
        self.orient = orient

    def deserialize_input(self, input_data: Any) -> Any:
        import pandas as pd

        if isinstance(input_data, pd.DataFrame):
            return input_data
        if not isinstance(input_data, list | dict):
            raise Exception(f"Error, unable to convert input of type {type(input_data)} into Pandas Dataframe")
        orient: Any = self.orient  # one of pandas' words
        frame = pd.read_json(StringIO(json.dumps(input_data)), orient=orient, dtype=False)
        if self.apply_column_names:
            frame.columns = self.sample_input.columns.copy()
        if self.enforce_column_type:
            known = self.sample_input.dtypes.to_dict()
            wanted = {c: known.get(c, object) for c in frame.columns}
            for column, dtype in wanted.items():
                if str(dtype).startswith("timedelta"):
                    frame[column] = pd.to_timedelta(frame[column])
            frame = frame.astype(dtype=wanted)
        if self.enforce_shape:
            _same_shape("data frame", "a data frame", frame.shape, self.sample_input.shape)
        return frame

    def input_to_swagger(self) -> dict[str, Any]:
        sample = json.loads(self.sample_input.to_json(orient=self.orient, date_format="iso"))
        schema = _list_schema(sample) if self.orient in ("records", "values") else _object_schema(sample)
        for column in self.sample_input.columns:
            kind = str(self.sample_input.dtypes[column])
            form = "date-time" if kind.startswith("datetime") else "timedelta" if kind.startswith("timedelta") else ""
            if form:
                for item in self._places(schema, str(column)):
                    item["format"] = form
        schema["format"] = f"pandas.DataFrame:{self.orient}"
        return schema

    def _places(self, schema: dict[str, Any], column: str) -> list[dict[str, Any]]:
        """The schemas that describe a column's cells."""
        if self.orient == "records":
            return [schema["items"]["properties"][column]]
        if self.orient == "index":
            return [row["properties"][column] for row in schema["properties"].values()]
        if self.orient == "columns":
            return list(schema["properties"][column]["properties"].values())
        if self.orient == "table":
            return [schema["properties"]["data"]["items"]["properties"][column]]
        return []


class StandardPythonParameterType(AbstractParameterType):
    """Plain Python data like the sample; dictionaries and lists may hold other parameter types."""

    def __init__(self, sample_input: Any) -> None:
        super().__init__(sample_input)
        self.sample_data_type_map: dict[Any, AbstractParameterType] = {}
        self.sample_data_type_list: list[AbstractParameterType] = []
        if self.sample_data_type is dict:
            self.sample_data_type_map = {k: v for k, v in sample_input.items() if isinstance(v, AbstractParameterType)}
        elif self.sample_data_type in (list, tuple):
            self.sample_data_type_list = [v for v in sample_input if isinstance(v, AbstractParameterType)]

    def deserialize_input(self, input_data: Any) -> Any:
        kind = self.sample_data_type
        if kind is datetime.date:
            input_data = datetime.date.fromisoformat(input_data)
        elif kind is datetime.datetime:
            input_data = _moment(input_data)
        elif kind is datetime.time:
            input_data = datetime.time.fromisoformat(input_data)
        elif kind in (bytes, bytearray):
            input_data = kind(base64.b64decode(input_data.encode()))
        if kind is float and type(input_data) is int:
            return input_data
        if not isinstance(input_data, kind):
            raise ValueError(f"Invalid input data type to parse. Expected: {kind} but got {type(input_data)}")
        return input_data

    def input_to_swagger(self) -> dict[str, Any]:
        if self.sample_input is None:
            raise ValueError("Sample input cannot be None")
        schema = _schema(self.sample_input)
        json.dumps(schema)  # TypeError now rather than when the document is asked for
        return schema


def convert(value: Any, kind: Any) -> Any:
    """What came as JSON, as the declared type; inside dictionaries and lists too."""
    wanted = kind.sample_data_type
    if wanted is dict:
        _expect(value, dict, wanted)
        for key, inner in kind.sample_data_type_map.items():
            if key in value:
                value[key] = convert(value[key], inner)
        return value
    if wanted in (list, tuple):
        _expect(value, (list, tuple), wanted)
        inner = kind.sample_data_type_list
        return [convert(v, inner[0]) for v in value] if inner else value
    return value if isinstance(value, wanted) else kind.deserialize_input(value)


def _expect(value: Any, kinds: Any, wanted: type) -> None:
    if not isinstance(value, kinds):
        raise ValueError(f"Invalid input data type to parse. Expected: {wanted} but got {type(value)}")


def _same_shape(what: str, article: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if len(shape) != len(expected):
        raise ValueError(
            f"Invalid input {what}: {article} with {len(expected)} dimensions is expected; "
            f"input has {len(shape)} [shape {shape}]"
        )
    for dim in range(1, len(expected)):
        if shape[dim] != expected[dim]:
            raise ValueError(
                f"Invalid input {what}: {what} has size {shape[dim]} on dimension #{dim}, "
                f"while expected value is {expected[dim]}"
            )


def _element(item: Any, dtype: Any) -> Any:
    import numpy as np

    if dtype.names:
        fields = [item[n] for n in dtype.names] if isinstance(item, dict) else list(item)
        return tuple(_element(f, dtype[i]) for i, f in enumerate(fields))
    if dtype.kind == "M":
        return np.datetime64(item)
    if dtype.kind == "m":
        number, _, unit = item.partition(" ")
        if unit.strip().lower() not in _UNITS:
            raise ValueError(f"Invalid numpy.timestamp64 value specified: {item}. Unrecognized time unit code")
        return np.timedelta64(int(number), _UNITS[unit.strip().lower()])  # type: ignore[call-overload]  # a unit, as str
    return item


def _dtype_schema(dtype: Any) -> dict[str, Any]:
    if dtype.names:
        return {"type": "object", "properties": {n: _dtype_schema(dtype[n]) for n in dtype.names}}
    if dtype.subdtype is not None:
        schema = _dtype_schema(dtype.subdtype[0])
        for _ in range(max(len(dtype.subdtype[1]), 1)):
            schema = {"type": "array", "items": schema}
        return schema
    name = dtype.name.lower()
    if dtype.kind in "iu":
        return {"type": "integer", "format": name}
    if name in _NUMPY_FORMATS:
        return {"type": "number", "format": _NUMPY_FORMATS[name]}
    fixed: dict[str, dict[str, Any]] = {
        "b": {"type": "boolean"}, "O": {"type": "object"}, "M": {"type": "string", "format": "date-time"},
        "m": {"type": "string", "format": "timedelta"}, "U": {"type": "string"},
        "S": {"type": "string", "format": "binary"}, "V": {"type": "string", "format": "binary"},
    }  # fmt: skip
    if dtype.kind not in fixed:
        raise TypeError(f"We currently do not support extracting schema from data of type {name}")
    return fixed[dtype.kind]


def _example(schema: dict[str, Any], item: Any) -> Any:
    kind, form = schema["type"], schema.get("format")
    if kind == "object":
        if "properties" in schema:
            return {k: _example(s, item[k]) for k, s in schema["properties"].items()}
        return str(item)
    if kind == "array":
        return [_example(schema["items"], i) for i in item]
    if kind == "number":
        return float(item)
    if kind == "integer":
        return int(item)
    if form == "date-time":
        return item.astype(datetime.datetime).strftime("%Y-%m-%d %H:%M:%S,%f")
    if form == "binary":
        return base64.b64encode(item).decode()
    return str(item)


def _schema(value: Any) -> dict[str, Any]:
    kind = type(value)
    simple: dict[type, tuple[str, str | None]] = {
        int: ("integer", "int64"), float: ("number", "double"), bool: ("boolean", None), str: ("string", None),
    }  # fmt: skip
    if isinstance(value, AbstractParameterType):
        return value.input_to_swagger()
    if kind in simple:
        name, form = simple[kind]
        return {"type": name, **({"format": form} if form else {}), "example": value}
    if kind in (bytes, bytearray):
        return {"type": "string", "format": "byte", "example": base64.b64encode(value).decode()}
    if kind is datetime.date:
        return {"type": "string", "format": "date", "example": value.strftime("%Y-%m-%d")}
    if kind is datetime.datetime:
        text = (value if value.tzinfo else value.replace(tzinfo=_UTC)).strftime("%Y-%m-%d %H:%M:%S.%f %z")
        return {"type": "string", "format": "date-time", "example": text}
    if kind is datetime.time:
        text = (value if value.tzinfo else value.replace(tzinfo=_UTC)).strftime("%H:%M:%S.%f %z")
        return {"type": "string", "format": "time", "example": text}
    if kind in (list, tuple, range):
        return _list_schema(value)
    if kind is dict:
        return _object_schema(value)
    return {"type": "object", "example": value}


def _list_schema(values: Any) -> dict[str, Any]:
    examples, items = [], {"type": "object"}
    for value in values:
        items = _schema(value)
        examples.append(items.pop("example"))
    return {"type": "array", "items": items, "example": examples}


def _object_schema(values: dict[Any, Any]) -> dict[str, Any]:
    properties = {key: _schema(value) for key, value in values.items()}
    examples = {key: schema.pop("example") for key, schema in properties.items()}
    return {"type": "object", "required": list(values), "properties": properties, "example": examples}


def _moment(text: str) -> datetime.datetime:
    try:
        from dateutil import parser  # type: ignore[import-untyped]
    except ImportError:
        return datetime.datetime.fromisoformat(text)
    return parser.parse(text)  # type: ignore[no-any-return]


def _uniform(example: Any) -> bool:
    if isinstance(example, list) and example:
        first = type(example[0])
        return all(type(e) is first and (first is not list or _uniform(e)) for e in example)
    if isinstance(example, dict):
        return all(map(_uniform, example.values()))
    return True
