"""Azure ML's scoring face: bodies, headers and documents exactly as azureml-inference-server-http 1.5.1 sends them.

No I/O. What differs on purpose: `x-ms-server-version` names Gantline, and a body that is not UTF-8 for an
`@input_schema` script is the client's fault (400), not an internal error.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Headers: TypeAlias = list[tuple[bytes, bytes]]

HEADER_LIMIT = 100  # characters of an id
SCRIPT_ERROR = "An unexpected error occurred in scoring script. Check the logs for more info."
INTERNAL_ERROR = "An unexpected internal error occurred. Check the logs for more info."
METHOD_NOT_ALLOWED = "Method not allowed"
ROUTE_NOT_FOUND = (
    "The requested URL was not found on the server. If you entered the URL manually please check your spelling and "
    "try again."
)
ROUTE_METHOD_NOT_ALLOWED = "The method is not allowed for the requested URL."
HEALTHY = b"Healthy"
SWAGGER_VERSIONS = ("2", "3", "3.1")
_ALIASES = {"2": "2", "2.0": "2", "3": "3", "3.0": "3", "3.1": "3.1"}

JSON = (b"content-type", b"application/json")
HTML = (b"content-type", b"text/html; charset=utf-8")
FAILED = (b"x-ms-run-function-failed", b"True")
NOT_FAILED = (b"x-ms-run-function-failed", b"False")
_LENGTHS = frozenset((b"content-length", b"transfer-encoding", b"connection", b"date", b"server"))
_ASKED = frozenset((b"x-request-id", b"x-ms-request-id", b"x-ms-client-request-id", b"traceid", b"origin"))


class Exchanged:
    """What a request's headers mean for its answer. `refused` holds the message of a 431, or is empty."""

    __slots__ = ("client_request_id", "legacy_id", "origin", "refused", "request_id", "trace_id")

    def __init__(self, headers: Headers) -> None:
        found = {name: value for name, value in headers if name in _ASKED}
        self.trace_id = found.get(b"traceid")
        self.origin = found.get(b"origin")
        self.request_id = self.legacy_id = self.client_request_id = b""
        self.refused = ""
        request_id = found.get(b"x-request-id")
        if request_id is None:
            self.request_id = self.legacy_id = new_id()
            if len(found) == (self.trace_id is not None) + (self.origin is not None):
                return
            request_id = self.request_id
            self.legacy_id = b""
        if len(request_id) > HEADER_LIMIT:
            self.request_id = b""
            self.refused = f"x-request-id must not exceed {HEADER_LIMIT} characters"
            return
        self.request_id = request_id
        legacy, client = found.get(b"x-ms-request-id", b""), found.get(b"x-ms-client-request-id", b"")
        if legacy:
            client = client or legacy
        else:
            legacy = client or request_id
        if len(legacy) > HEADER_LIMIT or len(client) > HEADER_LIMIT:
            self.refused = f"x-ms-request-id and x-ms-client-request-id must not exceed {HEADER_LIMIT} characters"
            return
        self.legacy_id, self.client_request_id = legacy, client

    def headers(self, server: bytes) -> Headers:
        """The headers that every answer carries. `server` empty: no x-ms-server-version."""
        out: Headers = [(b"x-ms-server-version", server)] if server else []
        if self.request_id:
            out.append((b"x-request-id", self.request_id))
        if self.legacy_id:
            out.append((b"x-ms-request-id", self.legacy_id))
        if self.client_request_id:
            out.append((b"x-ms-client-request-id", self.client_request_id))
        if self.trace_id is not None:
            out.append((b"traceid", self.trace_id))
        return out


def new_id() -> bytes:
    """A random UUID (version 4) in text; a third of uuid.uuid4()'s time."""
    h = os.urandom(16).hex()
    return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-{'89ab'[int(h[16], 16) & 3]}{h[17:20]}-{h[20:]}".encode()


def error_body(message: str) -> bytes:
    """The body of every refusal."""
    return json.dumps({"message": message}).encode()


def timeout_message(timeout_ms: int) -> str:
    """What a client is told when run() took too long."""
    return f"Scoring timeout after {timeout_ms} ms"


def took_header(ns: int) -> tuple[bytes, bytes]:
    """How long run() took, in milliseconds with three decimals."""
    return (b"x-ms-run-fn-exec-ms", b"%.3f" % (ns / 1e6))


def own_headers(block: bytes) -> Headers:
    """A script's own headers, from `name:value` lines; those that the connection decides are left out."""
    out: Headers = []
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        name = name.strip().lower()
        if name and name not in _LENGTHS:
            out.append((name, value.strip()))
    return out


def merged(own: Headers, common: Headers) -> Headers:
    """A script's headers under those of every answer: ids are replaced, not repeated."""
    names = {name for name, _ in common if name not in (b"x-ms-server-version", b"traceid")}
    return [pair for pair in own if pair[0] not in names] + common


def cors_headers(origins: tuple[str, ...], exchanged: Exchanged, method: bytes, headers: Headers) -> Headers:
    """Cross-origin headers, as flask-cors gives them for GET and POST. Origins are compared without case."""
    if not origins:
        return []
    anything = "*" in origins
    asked = exchanged.origin
    if asked:
        if not anything and asked.decode("latin-1").lower() not in {o.lower() for o in origins}:
            return []
        allowed = asked
    else:
        allowed = b"*" if anything else sorted(origins)[0].encode("latin-1", "replace")
    out: Headers = [(b"access-control-allow-origin", allowed)]
    if method == b"OPTIONS":
        found = dict(headers)
        if found.get(b"access-control-request-method", b"").upper() in (b"GET", b"POST"):
            wanted = [h.strip() for h in found.get(b"access-control-request-headers", b"").split(b",") if h.strip()]
            if wanted:
                out.append((b"access-control-allow-headers", b", ".join(sorted(wanted))))
            out.append((b"access-control-allow-methods", b"GET, POST"))
    if allowed != b"*" and (len(origins) > 1 or anything):
        out.append((b"vary", b"Origin"))
    return out


@dataclass(frozen=True, slots=True)
class Service:
    """What a swagger document says of the service."""

    name: str = "ML service"
    version: str = "1.0"
    path_prefix: str = ""


class Swagger:
    """The documents of one script, by the version asked for. `files`: the user's own, which win."""

    def __init__(self, service: Service, schema: Mapping[str, Any], files: Mapping[str, Any]) -> None:
        self._documents: dict[str, bytes] = {}
        known = set(schema.get("versions", ()))
        for version in SWAGGER_VERSIONS:
            own = files.get("swagger.json") if version == "2" else None
            own = own or files.get(f"swagger{version}.json")
            if own is None and known & {a for a, v in _ALIASES.items() if v == version}:
                own = document(version, service, schema["input"], schema["output"])
            if own is not None:
                self._documents[version] = json.dumps(own).encode()

    def find(self, version: str | None) -> tuple[int, bytes]:
        """Status and body for `/swagger.json?version=`; None is 2."""
        version = "2" if version is None else version
        supported = ", ".join(sorted(self._documents))
        if version not in _ALIASES:
            return 404, error_body(f"Swagger version [{version}] is not valid. Supported versions: [{supported}].")
        body = self._documents.get(_ALIASES[version])
        if body is None:
            return 404, error_body(
                f"Swagger version [{version}] is not supported for the scoring script. "
                f"Supported swagger versions: [{supported}]."
            )
        return 200, body


def document(version: str, service: Service, takes: Any, gives: Any) -> dict[str, Any]:
    """The generated document: OpenAPI 2.0, 3.0.3 or 3.1.0 for one script's input and output schema."""
    prefix = f"/{service.path_prefix.strip('/')}" if service.path_prefix else ""
    info = {
        "title": service.name,
        "description": f"API specification for the Azure Machine Learning service {service.name}",
        "version": service.version,
    }
    two = version == "2"
    where = "#/definitions/" if two else "#/components/schemas/"
    schemas = {
        "ServiceInput": takes,
        "ServiceOutput": gives,
        "ErrorResponse": {"type": "object", "properties": {"message": {"type": "string"}}},
    }
    bearer = {
        "Bearer": {
            "type": "apiKey",
            "name": "Authorization",
            "in": "header",
            "description": "For example: Bearer abc123",
        }
    }
    paths = {
        f"{prefix}/": {"get": _health(two, where)},
        f"{prefix}/score": {"post": _score(two, where)},
        f"{prefix}/swagger.json": {"get": _swagger(two, where)},
    }
    if two:
        return {
            "swagger": "2.0",
            "info": info,
            "schemes": ["https"],
            "consumes": ["application/json"],
            "produces": ["application/json"],
            "securityDefinitions": bearer,
            "paths": paths,
            "definitions": schemas,
        }
    return {
        "openapi": "3.0.3" if version == "3" else "3.1.0",
        "info": info,
        "security": [{"Bearer": []}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": bearer},
    }


def _answer(two: bool, description: str, schema: dict[str, Any], media: str = "application/json") -> dict[str, Any]:
    if two:
        return {"description": description, "schema": schema}
    return {"description": description, "content": {media: {"schema": schema}}}


def _failure(two: bool, where: str) -> dict[str, Any]:
    return _answer(two, "The service failed to execute due to an error.", {"$ref": where + "ErrorResponse"})


def _health(two: bool, where: str) -> dict[str, Any]:
    text = "If service is up and running, this response will be returned with the content 'Healthy'"
    if two:
        ok = {**_answer(two, text, {"type": "string"}), "examples": {"application/json": "Healthy"}}
    else:
        ok = _answer(two, text, {"type": "string", "example": "Healthy"}, "text/plain")
    return {
        "operationId": "ServiceHealthCheck",
        "description": "Simple health check endpoint to ensure the service is up at any given point.",
        "responses": {"200": ok, "default": _failure(two, where)},
    }


def _score(two: bool, where: str) -> dict[str, Any]:
    takes: dict[str, Any] = {"$ref": where + "ServiceInput"}
    text = "The input payload for executing the real-time machine learning service."
    body: dict[str, Any]
    if two:
        body = {"parameters": [{"name": "serviceInputPayload", "in": "body", "description": text, "schema": takes}]}
    else:
        body = {"requestBody": {"description": text, "content": {"application/json": {"schema": takes}}}}
    ok = "The service processed the input correctly and provided a result prediction, if applicable."
    return {
        "operationId": "RunMLService",
        "description": "Run web service's model and get the prediction output",
        "security": [{"Bearer": []}],
        **body,
        "responses": {"200": _answer(two, ok, {"$ref": where + "ServiceOutput"}), "default": _failure(two, where)},
    }


def _swagger(two: bool, where: str) -> dict[str, Any]:
    kind: dict[str, Any] = {"type": "integer", "enum": [2, 3]}
    version: dict[str, Any] = {"name": "version", "in": "query", "required": False}
    version.update(kind if two else {"schema": kind})
    ok = _answer(two, "The Swagger specification.", {"type": "string"}, "text/plain")
    return {
        "operationId": "GetSwaggerSpec",
        "description": "Get the Swagger specification.",
        "parameters": [version],
        "responses": {"200": ok, "default": _failure(two, where)},
    }


def header_lines(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Request headers as the script host takes them: `name:value` lines; names with an underscore are left out,
    since a proxy's and a client's spelling of one name could not be told apart (as gunicorn does).
    """
    return b"\n".join(name + b":" + value for name, value in pairs if b"_" not in name)
