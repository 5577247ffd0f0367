"""V1 described: TensorFlow Serving's REST API and KServe's V1, as serve.faces.v1 and serve.routes.v1 answer them."""

from __future__ import annotations

from typing import Any

from gantline.accelerators.script.engine import SCORE

from . import tensors
from .operation import JSON, Answer, Body, Exact, Face, Operation, Schema, Subject, ref
from .v2 import ERROR, NOT_READY, REFUSALS, UNKNOWN, get

_NONE = Answer("Not done here; the error says what is", ERROR)
_THERE: dict[int, Answer] = {404: UNKNOWN, 503: NOT_READY}
_STATUS: Schema = {
    "type": "object",
    "required": ["name", "ready", "model_version_status"],
    "properties": {
        "name": {"type": "string"},
        "ready": {"type": "boolean"},
        "model_version_status": {
            "type": "array",
            "items": {"type": "object", "required": ["version", "state", "status"]},
        },
        "error": {"type": "string"},
    },
}
_MODELS: Schema = {
    "type": "object",
    "required": ["models"],
    "properties": {"models": {"type": "array", "items": {"type": "string"}}},
}


def predict(subject: Subject) -> Exact | None:
    """Rows of one model's inputs, and of its outputs; whole tensors where they have no rows."""
    inputs, outputs = subject.signature.inputs, subject.signature.outputs
    if not inputs or subject.signature == SCORE:
        return None  # asked by /score only
    rows = all(t.shape[:1] == (-1,) for t in inputs)
    drop, key = (1, "instances") if rows else (0, "inputs")
    values = {t.name: _described(tensors.nested(t, _element(t.datatype), drop), t) for t in inputs}
    if len(inputs) == 1:
        one: Schema = next(iter(values.values()))
    else:
        needed = [t.name for t in inputs if not t.optional]
        one = {"type": "object", "required": needed, "properties": values}
    takes: Schema = {
        "type": "object",
        "required": [key],
        "properties": {
            "signature_name": {"enum": ["", "serving_default"]},
            key: {"type": "array", "items": one, "minItems": 1} if rows else one,
        },
    }
    gives: Schema = {"type": "object", "description": "; ".join(f"{t.name}: {tensors.described(t)}" for t in outputs)}
    return Body(takes, _example(subject, rows, key)), Answer("The outputs", {JSON: gives})


def _element(datatype: str) -> Schema:
    plain = tensors.element(datatype)
    packed = {"type": "object", "required": ["b64"], "properties": {"b64": {"contentEncoding": "base64"}}}
    return {"anyOf": [plain, packed]} if datatype == "BYTES" else plain


def _described(schema: Schema, spec: Any) -> Schema:
    return {**schema, "description": tensors.described(spec)}


def _example(subject: Subject, rows: bool, key: str) -> Schema | None:
    found: dict[str, Any] = {}
    for spec in subject.signature.inputs:
        array = subject.sample.get(spec.name)
        if array is None:
            if spec.optional:
                continue
            return None
        value = tensors.rows(array, spec.datatype)
        if not value and value != 0:
            return None
        found[spec.name] = value
    if len(subject.signature.inputs) == 1:
        return {key: next(iter(found.values()))}
    if not rows:
        return {key: found}
    return {key: [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]}


def _ask(path: str) -> Operation:
    anything = Body({"type": "object"})
    ok = Answer('"predictions" for "instances", "outputs" for "inputs"', {JSON: {"type": "object"}})
    return Operation("post", path + ":predict", "Ask the model", {200: ok, **REFUSALS}, anything, predict, True)


def _not_here(path: str, verb: str) -> Operation:
    answers = {501: _NONE, 404: UNKNOWN, 503: NOT_READY}
    return Operation("post", f"{path}:{verb}", f"Says why there is no :{verb}", answers, Body({}, required=False))


def _of_models(base: str) -> tuple[Operation, ...]:
    told = {**_THERE, 503: Answer("No version of it can be asked", {JSON: ref("V1Status")})}
    return (
        get(base, "Whether it can be asked, and the state of its versions", ref("V1Status"), told),
        get(base + "/metadata", "Names, types and shapes of inputs and outputs", {"type": "object"}, _THERE),
        _ask(base),
        _not_here(base, "classify"),
        _not_here(base, "regress"),
    )


_MODEL = "/v1/models/{name}"
_NO_LABEL: dict[int, Answer] = {404: Answer("Labels are not assigned here", ERROR)}
_LABEL = _MODEL + "/labels/{label}"

V1 = Face(
    "V1",
    "TensorFlow Serving's REST API and KServe V1: rows or columns of plain JSON, alone or in a CloudEvent",
    (
        get("/v1/models", "The models that the server knows", _MODELS),
        *_of_models(_MODEL),
        _not_here(_MODEL, "explain"),
        *_of_models(_MODEL + "/versions/{version}"),
        Operation("get", _LABEL, "Says that there is no such label", _NO_LABEL),
        Operation("get", _LABEL + "/metadata", "Says that there is no such label", _NO_LABEL),
        Operation("post", _LABEL + ":predict", "Says that there is no such label", _NO_LABEL, Body({}, required=False)),
    ),
    {"V1Status": _STATUS},
)
