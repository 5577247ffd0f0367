"""MLflow's and SageMaker's face described: /invocations by a model's tensors, or by what a script declares."""

from __future__ import annotations

from typing import Any

from gantline.signature import TensorSpec
from gantline.wire.mlflow import CSV, FORMS, LINES

from .azure import score
from .operation import JSON, OCTETS, TEXT, Answer, Body, Exact, Face, Operation, Schema, Subject, ref
from .tensors import element, nested, rows

_TEXT: Schema = {"type": "string"}
_TYPES = (CSV, LINES, OCTETS)  # beside JSON
_ANSWERS = (CSV, LINES)
_ERROR = {JSON: ref("MlflowError")}
_ROWS: Schema = {"type": "array", "items": {"type": "object"}}
_SPLIT: Schema = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "data": {"type": "array", "items": {"type": "array"}},
        "columns": {"type": "array", "items": {"type": ["string", "integer"]}},
        "index": {"type": "array"},
    },
    "additionalProperties": False,
}
_PREDICTIONS: Schema = {"type": "object", "required": ["predictions"], "properties": {"predictions": {}}}
_REFUSALS: dict[int, Answer] = {
    400: Answer("The body does not fit the model, or the model failed on it", _ERROR),
    404: Answer("No such model", _ERROR),
    413: Answer("The body is larger than the server takes", _ERROR),
    415: Answer("A content type that is not read here", _ERROR),
    429: Answer("This tenant has more waiting than its share", _ERROR),
    431: Answer("A request id is too long for a script", _ERROR),
    500: Answer("The script failed", _ERROR),
    501: Answer("A Content-Encoding that is not spoken here, or a model that gives any number of answers", _ERROR),
    503: Answer("The model is not ready, or more waits than can be answered in time", _ERROR),
    504: Answer("The time that the request allows ran out", _ERROR),
}


def _body(inputs: Schema) -> Schema:
    """A body with exactly one of the forms."""
    forms: dict[str, Schema] = {
        "inputs": inputs,
        "instances": {"type": "array", "minItems": 1},
        "dataframe_records": _ROWS,
        "dataframe_split": _SPLIT,
    }
    params: Schema = {"params": {"type": ["object", "null"]}}
    return {"type": "object", "properties": {**forms, **params}, "oneOf": [{"required": [f]} for f in FORMS]}


def invoke(subject: Subject) -> Exact | None:
    """What one model takes and gives; a script, by its own declaration."""
    if subject.script is not None:
        return score(subject)
    inputs = subject.signature.inputs
    if not inputs:
        return None
    by_name: Schema = {
        "type": "object",
        "properties": {t.name: _tensor(t) for t in inputs},
        "required": [t.name for t in inputs if not t.optional],
    }
    schema = _body({"anyOf": [_tensor(inputs[0]), by_name]} if len(inputs) == 1 else by_name)
    body = Body(schema, _example(subject), media=dict.fromkeys(_TYPES, _TEXT))
    return body, Answer("One prediction a row", {JSON: _PREDICTIONS, **dict.fromkeys(_ANSWERS, _TEXT)})


def _tensor(spec: TensorSpec) -> Schema:
    return nested(spec, element(spec.datatype))


def _example(subject: Subject) -> Any:
    found = {
        t.name: rows(subject.sample[t.name], t.datatype) for t in subject.signature.inputs if t.name in subject.sample
    }
    if not found or None in found.values() or not all(t.shape for t in subject.signature.inputs):
        return None  # the protocol has no way to write a single value
    return {"inputs": next(iter(found.values())) if len(subject.signature.inputs) == 1 else found}


def _operation(path: str) -> Operation:
    answered = Answer("The predictions, or what a script returns", {JSON: {}, **dict.fromkeys(_ANSWERS, _TEXT)})
    ok = {200: answered, **_REFUSALS}
    body = Body(_body({}), media=dict.fromkeys(_TYPES, _TEXT))
    return Operation("post", path, "Ask for predictions", ok, body, invoke, True, needs=lambda subject: True)


_READY = {
    200: Answer("Ready"),  # an empty line that calls itself JSON, as MLflow's
    503: Answer("Not ready", _ERROR),
}

_VERSION = {200: Answer("Gantline's own version", {TEXT: {"type": "string"}})}

MLFLOW = Face(
    "MLflow and SageMaker",
    "MLflow's scoring protocol, and that of Amazon SageMaker's containers",
    (
        _operation("/invocations"),
        _operation("/models/{name}/invoke"),
        Operation("get", "/ping", "Whether the default model may be asked", _READY),
        Operation("get", "/health", "The same", _READY),
        Operation(
            "get", "/version", "The server's version", {200: Answer("Gantline's version", {TEXT: {"type": "string"}})}
        ),
    ),
    {
        "MlflowError": {
            "type": "object",
            "required": ["error_code", "message"],
            "properties": {"error_code": {"type": "string"}, "message": {"type": "string"}},
        }
    },
)
