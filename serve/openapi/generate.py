"""Generate described: plain JSON in, one answer or a stream of events out, as serve.routes.generate answers it."""

from __future__ import annotations

from typing import Any

from . import tensors
from .operation import JSON, Answer, Body, Exact, Face, Operation, Schema, Subject
from .v2 import REFUSALS

_EVENTS = "text/event-stream"


def generate(subject: Subject, media: str = JSON) -> Exact | None:
    """A field for each input, and one for each output."""
    signature = subject.signature
    if not signature.inputs and not signature.outputs:
        return None
    takes: Schema = {
        "type": "object",
        "required": [t.name for t in signature.inputs if not t.optional],
        "properties": {t.name: _field(tensors.nested(t, tensors.element(t.datatype)), t) for t in signature.inputs},
    }
    gives: Schema = {
        "type": "object",
        "required": ["model_name", "model_version"],
        "properties": {t.name: {"description": tensors.described(t)} for t in signature.outputs},
    }
    told = gives if media == JSON else {"description": "lines `data: {...}` with an empty one after each"}
    return Body(takes, _example(subject)), Answer("The outputs", {media: told})


def events(subject: Subject) -> Exact | None:
    """The same as a stream."""
    return generate(subject, _EVENTS)


def _field(schema: Schema, spec: Any) -> Schema:
    return {**schema, "description": tensors.described(spec)}


def _example(subject: Subject) -> Schema | None:
    found: dict[str, Any] = dict(subject.parameters)
    for spec in subject.signature.inputs:
        array = subject.sample.get(spec.name)
        if array is None:
            continue
        value = tensors.rows(array, spec.datatype)
        if value is None and array.size:
            return None
        found[spec.name] = value
    return found


def _pair(base: str) -> tuple[Operation, Operation]:
    anything = Body({"type": "object"})
    return (
        Operation(
            "post", base + "/generate", "Ask for one answer in plain JSON",
            {200: Answer("The outputs", {JSON: {"type": "object"}}), **REFUSALS}, anything, generate, True,
        ),
        Operation(
            "post", base + "/generate_stream", "Ask for any number of answers, as events",
            {200: Answer("An event for each answer", {_EVENTS: {}}), **REFUSALS}, anything, events, True,
        ),
    )  # fmt: skip


GENERATE = Face(
    "Generate",
    "Triton's generate extension: a field for each input, without datatypes and shapes",
    (*_pair("/v2/models/{name}"), *_pair("/v2/models/{name}/versions/{version}")),
)
