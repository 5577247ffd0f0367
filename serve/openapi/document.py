"""The OpenAPI document: faces and models in, JSON out. Pure.

Each path of the router is there as it is, with the names of what is loaded; what asks a model is there once more for
each of them, with its own tensors. OpenAPI 3.1: its schemas are JSON Schema, which has tuples (shapes) and constants.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from .operation import JSON, Answer, Body, Face, Operation, Schema, Subject

VERSION = "3.1.0"
_PLACE = re.compile(r"\{(\w+)\}")
_MODEL_PATH = "{name}"
_VERSION_PATH = "/versions/{version}"
_SECURITY: list[Schema] = [{"key": []}, {"bearer": []}]
_SCHEMES: Schema = {
    "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    "bearer": {"type": "http", "scheme": "bearer"},
}


@dataclass(frozen=True, slots=True)
class Access:
    """What a path asks of its caller. `key`: one is needed; `refuses`: it may say 403; `role`: the least one."""

    key: bool = False
    refuses: bool = False
    role: str = ""


@dataclass(frozen=True, slots=True)
class Server:
    """What a document is of. `subjects`: the versions that answer, each model's best first; `default` among them.

    `paths`: those that the router has; None: all. `total`: models that there are, when the document is of some.
    """

    version: str
    subjects: Sequence[Subject]
    default: Subject | None = None
    paths: frozenset[str] | None = None
    access: Callable[[str], Access] = field(default=lambda path: Access())
    total: int = 0


def document(faces: Iterable[Face], server: Server) -> Schema:
    """The document of one server."""
    paths: dict[str, Schema] = {}
    schemas: dict[str, Schema] = {}
    tags = []
    ids: dict[str, int] = {}
    for face in faces:
        some = False
        for path, operation, exact in _all(face.operations, server):
            some = True
            method = _method(face, path, operation, exact, server)
            method["operationId"] = _id(f"{operation.method} {path}", ids)
            paths.setdefault(path, {})[operation.method] = method
        if some:
            schemas |= face.schemas
            tags.append({"name": face.tag, "description": face.what})
    components: Schema = {"schemas": schemas}
    out: Schema = {
        "openapi": VERSION,
        "info": {"title": "Gantline", "version": server.version, "description": _about(server)},
        "servers": [{"url": "/"}],
        "tags": tags,
        "paths": paths,
        "components": components,
    }
    if any(server.access(path).key for path in paths):
        components["securitySchemes"] = _SCHEMES
    return out


def _all(operations: Iterable[Operation], server: Server) -> Iterator[tuple[str, Operation, Any]]:
    """Each path that the document has, with what one model makes of it, if it is one model's."""
    for one in operations:
        if server.paths is not None and one.path not in server.paths:
            continue
        if _MODEL_PATH not in one.path:
            default = server.default
            if one.needs is not None and (default is None or not one.needs(default)):
                continue
            yield one.path, one, None if one.exact is None or default is None else one.exact(default)
            continue
        yield one.path, one, None
        if one.exact is None:
            continue
        seen: set[str] = set()
        several = {name for name, n in Counter(s.name for s in server.subjects).items() if n > 1}
        for subject in server.subjects:
            exact = one.exact(subject)
            if _VERSION_PATH in one.path:
                wanted = subject.name in several
            else:
                wanted = subject.name not in seen
                seen.add(subject.name)
            if exact is not None and wanted:
                path = one.path.replace(_MODEL_PATH, quote(subject.name, safe=""))
                yield path.replace("{version}", subject.version), one, exact


def _method(face: Face, path: str, operation: Operation, exact: Any, server: Server) -> Schema:
    access = server.access(operation.path)
    body, ok = (operation.body, None) if exact is None else exact
    answers = dict(operation.answers)
    if ok is not None:
        answers[200] = ok
    method: Schema = {
        "tags": [face.tag],
        "summary": operation.what + (f" (role {access.role})" if access.role else ""),
        "parameters": [*_places(path, server), *operation.parameters],
        "responses": _answers(answers, access, operation.answers),
    }
    if body is not None and operation.method != "get":
        method["requestBody"] = _body(body)
    if access.key:
        method["security"] = _SECURITY
    if operation.asks and exact is not None:
        method["x-gantline-asks"] = True
    return method


def _places(path: str, server: Server) -> list[Schema]:
    """The parameters in a path, with what they may be as far as it is known."""
    names = sorted({s.name for s in server.subjects})
    found = []
    for place in _PLACE.findall(path):
        schema: Schema = {"type": "string", "minLength": 1}
        if place == "name" and names:
            schema["examples"] = names[:20]
        if place == "version":
            schema = {"type": "string", "pattern": "^[0-9]{1,9}$", "examples": ["1"]}
        found.append({"name": place, "in": "path", "required": True, "schema": schema})
    return found


def _body(body: Body) -> Schema:
    content: Schema = {"schema": body.schema}
    if body.example is not None:
        content["example"] = body.example
    media = {body.content_type: content, **{kind: {"schema": schema} for kind, schema in body.media.items()}}
    return {"required": body.required, "content": media}


def _answers(answers: Mapping[int, Answer], access: Access, own: Mapping[int, Answer]) -> Schema:
    found = dict(answers)
    told = next(
        (own[s].media for s in (400, 404, 503) if s in own and JSON in own[s].media), {JSON: {"type": "object"}}
    )
    if access.key:
        found[401] = Answer("No key, or one that is not known here", told)
    if access.key or access.refuses:
        found[403] = Answer("Not for this key, or not for other sites' pages", told)
    return {str(status): _answer(found[status]) for status in sorted(found)}


def _answer(answer: Answer) -> Schema:
    out: Schema = {"description": answer.what}
    if answer.media:
        out["content"] = {kind: {"schema": schema} for kind, schema in answer.media.items()}
    return out


def _about(server: Server) -> str:
    shown = len({s.name for s in server.subjects})
    if server.total > shown:
        return f"{shown} of {server.total} models are described here; /openapi.json?model=NAME describes any one."
    return "Every model that is loaded is described with its own tensors."


def _id(text: str, ids: dict[str, int]) -> str:
    plain = re.sub(r"[^0-9A-Za-z]+", "_", text).strip("_")
    ids[plain] = ids.get(plain, 0) + 1
    return plain if ids[plain] == 1 else f"{plain}_{ids[plain]}"
