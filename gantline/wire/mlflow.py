"""MLflow's scoring protocol, and SageMaker's, which shares its paths: bodies <-> inputs and outputs. No I/O.

JSON has exactly one of `dataframe_split`, `dataframe_records`, `instances` and `inputs`, and perhaps `params`, which
ask nothing of a model whose signature has none. CSV has a header or none: see tabular. JSON Lines, which SageMaker's
batch jobs split and join, have a row in each line. Read in MLflow 3.17's
pyfunc.scoring_server. Unlike there, no message holds what was sent, nor a stack trace.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import orjson

from ..errors import BadRequest
from ..request import Request
from ..signature import Signature
from ..tensors import Array, datatype_of
from .predictions_form import single
from .tabular import Table
from .v2 import decode_raw, dump_json, parse_json

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
JSON, CSV, OCTETS, LINES = "application/json", "text/csv", "application/octet-stream", "application/jsonlines"
_TYPES = {t: t for t in (JSON, CSV, OCTETS, LINES)} | {
    "": JSON,
    "application/jsonl": LINES,
    "application/x-ndjson": LINES,
}
_OBJECTS = ("records", "columns")  # forms whose rows are objects
_ONE_OF = "expected a JSON object with exactly one of " + ", ".join(f'"{f}"' for f in FORMS)
# protos/databricks.proto, as mlflow.exceptions gives them statuses
_CODES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "ENDPOINT_NOT_FOUND",
    429: "REQUEST_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    501: "NOT_IMPLEMENTED",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class UnknownType(BadRequest):
    """A content type that is not read here."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a body is: a media type, and for CSV whether it says that it has a header (RFC 4180)."""

    type: str = JSON
    header: bool | None = None


@lru_cache(maxsize=64)
def kind_of(content_type: bytes) -> Kind:
    """A Content-Type header's meaning; none is JSON. UnknownType for one that is not read here."""
    name, *parameters = (p.strip() for p in content_type.decode("latin-1").lower().split(";"))
    if name not in _TYPES:
        raise UnknownType(f"the content type is not one of {JSON}, {CSV}, {LINES} and {OCTETS}")
    header = None
    for parameter in filter(None, parameters):
        key, _, value = parameter.partition("=")
        value = value.strip('"')
        if key == "charset" and value in ("utf-8", "utf8", "us-ascii"):
            continue
        if key == "charset":
            raise UnknownType("only UTF-8 is read here; leave the charset out")
        if name != CSV or key != "header" or value not in ("present", "absent"):
            raise UnknownType("the content type has a parameter beside charset (and header=present, for CSV)")
        header = value == "present"
    return Kind(_TYPES[name], header)


class InOrder(Request):
    """A request whose one input is the body's one list, number for number: see mlflow_forms."""


def decode(body: bytes, kind: Kind, table: Table, signature: Signature, model: str) -> Request:
    """A Request from a body. BadRequest says in one line what does not fit."""
    if kind.type == CSV:
        return Request(table.text(body, kind.header))
    if kind.type == OCTETS:
        return Request(decode_raw(body, signature, model).inputs)
    if kind.type == LINES:
        return Request(table.lines(_lines(body)))
    return decode_tree(parse_json(body), table)


def decode_tree(tree: Any, table: Table) -> Request:
    """The same for a JSON document that has been read."""
    if type(tree) is not dict:
        raise BadRequest(f"{_ONE_OF}; the body is {'a list' if type(tree) is list else 'a single value'}")
    forms = [f for f in FORMS if f in tree]
    if len(forms) != 1:
        raise BadRequest(f"{_ONE_OF}; the body has {' and '.join(forms) or 'none of them'}")
    if type(tree.get("params")) not in (dict, type(None)):
        raise BadRequest('"params" is not an object')
    form, data = forms[0], tree[forms[0]]
    try:
        if form == "dataframe_split":
            names, rows = _split(data)
            inputs = table.rows(names, rows)
            return InOrder(inputs) if table.in_order(names) else Request(inputs)
        if form == "dataframe_records":
            return Request(table.records(data))
        if form == "inputs" and type(data) is dict:
            return Request(table.columnar(data))
        if form == "instances" and (type(data) is not list or not data):
            raise BadRequest("expected a list of rows that is not empty")
        if type(data) is list and data and type(data[0]) is dict:
            return Request(table.records(data))
        inputs = table.nested(data)
        return InOrder(inputs) if len(inputs) == 1 else Request(inputs)
    except BadRequest as e:
        raise type(e)(f'"{form}": {e.message}') from e


def _lines(body: bytes) -> list[Any]:
    found = []
    for number, line in enumerate(body.split(b"\n"), 1):
        if line and not line.isspace():
            try:
                found.append(parse_json(line))
            except BadRequest as e:
                raise type(e)(f"line {number}: {e.message}") from e
    if not found:
        raise BadRequest("the body is empty; expected a JSON value in each line")
    return found


def _split(data: Any) -> tuple[list[str] | None, Any]:
    if type(data) is not dict or "data" not in data or not data.keys() <= {"columns", "data", "index"}:
        raise BadRequest('expected an object with "data" and perhaps "columns" and "index", and nothing else')
    names, index, rows = data.get("columns"), data.get("index"), data["data"]
    if names is not None and (type(names) is not list or not all(type(n) in (str, int) for n in names)):
        raise BadRequest('"columns" is not a list of names')
    if index is not None and not (type(index) is type(rows) is list and len(index) == len(rows)):
        raise BadRequest('"index" is not a list as long as "data"')
    return None if names is None else list(map(str, names)), rows


def encode_json(outputs: Sequence[tuple[str, Array]], form: str = "") -> bytes:
    """`{"predictions": ...}`: a list of rows; rows are objects by output where there are several of them.

    `form`: another way to tell them, as the manifest's TableInfo has it.
    """
    shown = _in_form(outputs, form)
    if len(shown) == 1 and form in ("", "numbers"):
        return dump_json({"predictions": _listed(shown[0][1])})
    if form == "outputs" or not _in_rows(shown):
        return dump_json({"predictions": {n: _listed(a) for n, a in shown}})
    return dump_json({"predictions": list(_rows(shown, form in _OBJECTS))})


def encode_lines(outputs: Sequence[tuple[str, Array]], form: str = "") -> bytes:
    """One JSON value a line, for each row: an output's, or an object by output where there are several of them."""
    shown = _in_form(outputs, form)
    if not _in_rows(shown):
        raise BadRequest(f"the outputs have no rows in common, so they are no lines; accept {JSON}")
    return b"".join([dump_json(row) + b"\n" for row in _rows(shown, form in _OBJECTS)])


def encode_csv(outputs: Sequence[tuple[str, Array]], form: str = "") -> bytes:
    """One line a row without a header, as SageMaker's own containers answer; outputs stand side by side in any form."""
    columns: list[list[str]] = []
    for _, array in outputs:
        plain = _plain(array).reshape(len(array) if array.ndim else 1, prod(array.shape[1:]))
        columns += [[_quoted(v) for v in c] for c in plain.T]
    if len({len(c) for c in columns}) > 1:
        raise BadRequest("the outputs differ in rows, so they are no table; accept application/json")
    return "".join(",".join(row) + "\n" for row in zip(*columns, strict=True)).encode()


@lru_cache(maxsize=64)
def answer_type(accept: bytes) -> str:
    """The type that an Accept header names first, of those that are written here; JSON where it names none."""
    for part in accept.decode("latin-1").lower().split(","):
        name = part.partition(";")[0].strip()
        if name in ("*/*", "application/*"):
            return JSON
        if name != OCTETS and name in _TYPES and name:
            return _TYPES[name]
    return JSON


def error_body(status: int, message: str) -> bytes:
    """An error as MLflow writes it, without its stack trace."""
    return orjson.dumps({"error_code": _CODES.get(status, "BAD_REQUEST"), "message": message})


def _plain(array: Array) -> Array:
    """What a JSON writer takes: text as str (base64 where it is no text, as MLflow does), half floats widened."""
    if array.dtype.kind in "OS":
        flat = array.ravel().tolist()
        try:
            texts = [v.decode() if isinstance(v, bytes) else str(v) for v in flat]
        except UnicodeDecodeError:
            texts = [base64.b64encode(v if isinstance(v, bytes) else str(v).encode()).decode() for v in flat]
        out = np.empty(len(flat), object)
        out[:] = texts
        return out.reshape(array.shape)
    if datatype_of(array) in ("FP16", "BF16"):
        return array.astype(np.float32)
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


def _listed(array: Array) -> Any:
    """What a JSON writer takes: numbers as an array, texts and single values as Python's own."""
    plain = _plain(array)
    return plain.tolist() if plain.dtype.kind == "O" or not plain.ndim else plain


def _by_row(array: Array) -> Any:
    """The same to be taken apart by its first dimension: a writer does not take a number of some of numpy's kinds."""
    plain = _plain(array)
    return plain.tolist() if plain.dtype.kind == "O" or (plain.ndim == 1 and plain.dtype != np.float32) else plain


def _in_form(outputs: Sequence[tuple[str, Array]], form: str) -> Sequence[tuple[str, Array]]:
    if form in ("numbers", "records"):
        return [(n, single(a)) for n, a in outputs]
    if form == "columns" and len(outputs) == 1 and outputs[0][1].ndim == 2:
        return [(str(i), column) for i, column in enumerate(outputs[0][1].T)]
    return outputs


def _in_rows(outputs: Sequence[tuple[str, Array]]) -> bool:
    return all(a.ndim for _, a in outputs) and len({len(a) for _, a in outputs}) == 1


def _rows(outputs: Sequence[tuple[str, Array]], named: bool) -> Iterator[Any]:
    """What a JSON writer takes for each row. `named`: an object for one output, too."""
    columns = {n: _by_row(a) for n, a in outputs}
    if len(columns) == 1 and not named:
        return iter(next(iter(columns.values())))
    return (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))


def _quoted(value: Any) -> str:
    """A CSV cell; numbers are spelled as numpy does: 0.1 for the float32 nearest to it."""
    cell = str(value).lower() if isinstance(value, np.bool_) else str(value)
    return '"' + cell.replace('"', '""') + '"' if any(c in cell for c in ',"\r\n') else cell
