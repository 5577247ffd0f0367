"""The Azure face described: /score with the schema that a script declares, as serve.routes.azure answers it."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from .operation import JSON, Answer, Body, Exact, Face, Operation, Schema, Subject, query, ref

_ERROR = {JSON: ref("AzureError")}
_ANY: Schema = {}
_REFUSALS: dict[int, Answer] = {
    400: Answer("The script, or the server, could not read the body", _ERROR),
    404: Answer("No such script", _ERROR),
    413: Answer("The body is larger than the server takes", _ERROR),
    415: Answer("The script's schema wants application/json", _ERROR),
    429: Answer("This tenant has more waiting than its share", _ERROR),
    431: Answer("A request id is too long", _ERROR),
    500: Answer("The script failed, or took too long", _ERROR),
    503: Answer("The script is not ready, or more waits than can be answered in time", _ERROR),
    504: Answer("The time that the request allows ran out", _ERROR),
}
_DOCUMENT = {JSON: {"type": "object"}}
_VERSION = query("version", "of the specification", {"enum": ["2", "2.0", "3", "3.0", "3.1"]})


def scored(subject: Subject) -> bool:
    """Whether a model is a script with a /score."""
    return subject.script is not None


def score(subject: Subject) -> Exact | None:
    """What one script takes and gives, by its own declaration."""
    script = subject.script
    if script is None:
        return None
    example: Any = script.body or None
    if script.content_type == JSON and script.body:
        with suppress(ValueError):
            example = json.loads(script.body)
    if example is None:
        example = script.takes.get("example")
    return Body(script.takes, example, script.content_type), Answer("What it returns", {JSON: script.gives})


def _operations(base: str) -> tuple[Operation, ...]:
    ok = {200: Answer("What the script returns", {JSON: _ANY}), **_REFUSALS}
    swagger = {200: Answer("The document", _DOCUMENT), 404: Answer("No such script or document", _ERROR)}
    swagger[431] = _REFUSALS[431]
    return (
        Operation("get", base + "score", "Ask the script by the query's parameters", ok, needs=scored),
        Operation("post", base + "score", "Ask the script", ok, Body(_ANY, required=False), score, True, needs=scored),
        Operation("get", base + "swagger.json", "How to ask the script", swagger, parameters=(_VERSION,), needs=scored),
    )


_HEALTHY = {"text/html": {"type": "string"}, JSON: {"type": "object"}}

AZURE = Face(
    "Azure",
    "Azure Machine Learning's scoring face, for scripts with init() and run()",
    (
        Operation("get", "/", "Whether the server is healthy", {200: Answer("Healthy", _HEALTHY), 431: _REFUSALS[431]}),
        *_operations("/"),
        *_operations("/models/{name}/"),
    ),
    {"AzureError": {"type": "object", "required": ["message"], "properties": {"message": {"type": "string"}}}},
)
