"""Operation: how a face describes one route of its own; the OpenAPI document and the page's try-it are made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from gantline.request import Parameter
from gantline.signature import Signature
from gantline.tensors import Array

Schema: TypeAlias = dict[str, Any]  # JSON Schema, as OpenAPI 3.1 has it (draft 2020-12)

JSON = "application/json"
OCTETS = "application/octet-stream"
TEXT = "text/plain"


@dataclass(frozen=True, slots=True)
class Script:
    """What a scoring script's /score takes and gives, as the script declares it, and a body that it answers."""

    takes: Schema
    gives: Schema
    body: str = ""
    content_type: str = JSON


@dataclass(frozen=True, slots=True)
class Subject:
    """One model version that operations are described for.

    `sample`: an array for each input, of one row where rows are free; empty where there is none. `recorded`: it is of a
    golden sample, and not zeros. `parameters` go with it. `script`: what answers /score, if that does.
    """

    name: str
    version: str
    signature: Signature
    sample: Mapping[str, Array] = field(default_factory=dict)
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    recorded: bool = False
    script: Script | None = None


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body. `example`: a value for JSON, text for what is not. `media`: others that are taken, too."""

    schema: Schema
    example: Any = None
    content_type: str = JSON
    media: Mapping[str, Schema] = field(default_factory=dict)
    required: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """One status's answer. `media` empty: it has no body that means anything."""

    what: str
    media: Mapping[str, Schema] = field(default_factory=dict)


Exact: TypeAlias = tuple[Body, Answer]  # what one model takes, and its 200


@dataclass(frozen=True, slots=True)
class Operation:
    """A method of a route. `path` is the route's own, `{name}` and `{version}` in it are a model's.

    `exact` makes of it an operation of one model, None where that model does not have it; in a path without `{name}`
    it is the default model's. `needs`: such a path is there only for default models that fit. `asks`: a model computes
    the answer, so the page offers to send it.
    """

    method: str
    path: str
    what: str
    answers: Mapping[int, Answer]
    body: Body | None = None
    exact: Callable[[Subject], Exact | None] | None = None
    asks: bool = False
    parameters: tuple[Schema, ...] = ()
    needs: Callable[[Subject], bool] | None = None


@dataclass(frozen=True, slots=True)
class Face:
    """A protocol: its tag, what it is, and its operations. `schemas`: what they refer to by name."""

    tag: str
    what: str
    operations: tuple[Operation, ...]
    schemas: Mapping[str, Schema] = field(default_factory=dict)


def ref(name: str) -> Schema:
    """A named schema of a face."""
    return {"$ref": f"#/components/schemas/{name}"}


def query(name: str, what: str, schema: Schema) -> Schema:
    """An optional parameter in the query."""
    return {"name": name, "in": "query", "description": what, "schema": schema}


def header(name: str, what: str, schema: Schema) -> Schema:
    """An optional parameter in the head."""
    return {"name": name, "in": "header", "description": what, "schema": schema}
