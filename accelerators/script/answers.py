"""Answers: what a script returned, as bytes for the client. Runs in the host: standard library, the rest if loaded.

The contract's rule is `json.dumps(result)`, to the byte. Beyond it, numpy arrays and scalars become (nested) lists and
numbers, a pandas DataFrame a list of records with null for what is missing, a Series or Index a list, a dataclass an
object, and dates and times ISO 8601 strings.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import sys
from collections.abc import Iterable
from typing import Any

from .channel import OWN_HEADERS

JSON = "application/json"


def to_json(value: Any) -> bytes:
    """A returned value as the body of a 200 answer; None is `{}`. TypeError or ValueError for what has no JSON."""
    return _encode({} if value is None else value).encode()


def is_response(value: Any) -> bool:
    """Whether this is a response object: of Flask, of Werkzeug, or our AMLResponse; told by what it offers."""
    return hasattr(value, "status_code") and hasattr(value, "get_data") and hasattr(value, "headers")


def of_response(response: Any) -> tuple[int, int, bytes, bytes]:
    """Flags, status, header block and body of a response object."""
    status, meta = head_of_response(response)
    return OWN_HEADERS, status, meta, response.get_data()


def head_of_response(response: Any) -> tuple[int, bytes]:
    """Status and header block, with x-ms-run-function-failed as Azure's server sets it."""
    status = int(response.status_code)
    pairs = [(str(k), str(v)) for k, v in response.headers.items()]
    if status >= 500:
        name = "x-ms-run-function-failed"
        pairs = [(k, v) for k, v in pairs if k.lower() != name] + [(name, "True")]
    return status, header_block(pairs)


def header_block(pairs: Iterable[tuple[str, str]]) -> bytes:
    """Headers as lines, for the link; what would break a line is a ValueError."""
    lines = []
    for name, value in pairs:
        line = f"{name}:{value}"
        if "\n" in line or "\r" in line or ":" in name:
            raise ValueError(f"header {name!r} cannot be sent: it holds a line break or a colon")
        lines.append(line)
    return "\n".join(lines).encode("latin-1", "replace")


def chunk_of(value: Any) -> tuple[str, bytes]:
    """One yielded value and the content type that a stream beginning with it has: JSON lines unless text or bytes."""
    if isinstance(value, str):
        return "text/plain; charset=utf-8", value.encode()
    if isinstance(value, bytes | bytearray | memoryview):
        return "application/octet-stream", bytes(value)
    return "application/x-ndjson", _encode(value).encode() + b"\n"


def _beyond(value: Any) -> Any:
    # what json does not know; numpy and pandas cannot be here unless the script has loaded them
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic):
        if value.dtype.kind in "mM":
            return numpy.datetime_as_string(value).tolist() if value.dtype.kind == "M" else value.astype(str).tolist()
        return value.tolist()
    pandas = sys.modules.get("pandas")
    if pandas is not None:
        if isinstance(value, pandas.DataFrame):
            return json.loads(value.to_json(orient="records", date_format="iso", double_precision=15))
        if isinstance(value, pandas.Series | pandas.Index):
            series = value if isinstance(value, pandas.Series) else value.to_series()
            return json.loads(series.to_json(orient="values", date_format="iso", double_precision=15))
        if value is pandas.NaT or value is pandas.NA:
            return None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, datetime.date | datetime.time):  # a datetime is a date
        return value.isoformat()
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


_encode = json.JSONEncoder(default=_beyond).encode
