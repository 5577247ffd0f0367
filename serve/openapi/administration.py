"""The server itself described: metrics, batching, log and trace settings, shared memory, and what describes it."""

from __future__ import annotations

from .operation import JSON, OCTETS, TEXT, Answer, Body, Face, Operation, Schema, query
from .v2 import BAD, ERROR, NOT_READY, TOO_LARGE, UNKNOWN, get

_OBJECT: Schema = {"type": "object"}
_TEXT: Schema = {"type": "string"}
_UNSUPPORTED = Answer("Something that this server does not do", ERROR)
_CHANGED: dict[int, Answer] = {
    200: Answer("All settings", {JSON: _OBJECT}),
    400: BAD,
    413: TOO_LARGE,
    501: _UNSUPPORTED,
}
_LOGS: Schema = {
    "type": "object",
    "properties": {
        "log_info": {"type": ["boolean", "null"]},
        "log_warning": {"type": ["boolean", "null"]},
        "log_error": {"type": ["boolean", "null"]},
        "log_verbose_level": {"type": ["integer", "null"], "minimum": 0},
        "log_format": {"enum": ["default", "ISO8601", None]},
    },
}
_TRACES: Schema = {
    "type": "object",
    "properties": {
        "trace_level": {"type": ["array", "null"], "items": {"enum": ["OFF", "TIMESTAMPS"]}},
        "trace_rate": {"type": ["string", "null"]},
        "trace_count": {"type": ["string", "null"]},
        "log_frequency": {"type": ["string", "null"]},
        "trace_file": {"type": ["string", "null"]},
    },
}
_REGION: Schema = {
    "type": "object",
    "required": ["key", "byte_size"],
    "properties": {
        "key": {"type": "string"},
        "offset": {"type": "integer", "minimum": 0},
        "byte_size": {"type": "integer", "minimum": 1},
    },
}


def _settings(path: str, what: str, schema: Schema, more: dict[int, Answer]) -> tuple[Operation, Operation]:
    look = get(path, f"Settings of {what}", _OBJECT, more)
    return look, Operation(
        "post", path, f"Change settings of {what}; null is what was at the start", {**_CHANGED, **more},
        Body(schema, required=False),
    )  # fmt: skip


def _memory(base: str, cuda: bool) -> tuple[Operation, ...]:
    listed: Schema = {"type": "array", "items": _OBJECT}
    whose = "CUDA memory, of which there is none" if cuda else "system shared memory"
    gone = Answer("No such region", ERROR)
    refused = {} if cuda else {400: BAD, 404: gone}
    done: dict[int, Answer] = {200: Answer("Done"), 400: BAD, 404: gone, 413: TOO_LARGE, 501: _UNSUPPORTED}
    return (
        get(base + "/status", f"Regions of {whose}", listed, refused),
        Operation("post", base + "/register", f"Register a region of {whose}", done, Body(_REGION, required=False)),
        Operation("post", base + "/unregister", f"Give up a region, or all, of {whose}", done),
    )


_SYSTEM, _CUDA = "/v2/systemsharedmemory", "/v2/cudasharedmemory"
_FOUND: dict[int, Answer] = {404: UNKNOWN, 503: NOT_READY}

SERVER = Face(
    "Server",
    "What the server says of itself, and what is set for all of it",
    (
        Operation(
            "get", "/metrics", "What Prometheus scrapes",
            {200: Answer("Metrics", {TEXT: _TEXT, "application/openmetrics-text": _TEXT})},
        ),
        get("/v2/models/{name}/dispatch", "Why batches went as they did", _OBJECT, _FOUND),
        get("/v2/models/{name}/versions/{version}/dispatch", "Why batches went as they did", _OBJECT, _FOUND),
        get("/v2/repository/memory", "Models in memory, with --load on-demand", _OBJECT, {501: _UNSUPPORTED}),
        *_settings("/v2/logging", "the log", _LOGS, {}),
        *_settings("/v2/trace/setting", "tracing", _TRACES, {}),
        *_settings("/v2/models/{name}/trace/setting", "tracing one model", _TRACES, {404: UNKNOWN}),
        *_memory(_SYSTEM, False),
        *_memory(_SYSTEM + "/region/{region}", False),
        *_memory(_CUDA, True),
        *_memory(_CUDA + "/region/{region}", True),
    ),
)  # fmt: skip

_PART = {
    200: Answer("The file", {"text/html": _TEXT, "text/css": _TEXT, "text/javascript": _TEXT, "image/svg+xml": _TEXT}),
    304: Answer("It is as it was"),
}
_VERSION = query("version", "of the model; none: the one that answers", {"type": "string", "pattern": "^[0-9]{1,9}$"})

DOCS = Face(
    "Docs",
    "This description: as a document, and as a page for people",
    (
        Operation(
            "get", "/openapi.json", "This document",
            {200: Answer("OpenAPI 3.1", {JSON: _OBJECT}), 404: UNKNOWN},
            parameters=(query("model", "describe this one only", _TEXT),),
        ),
        Operation("get", "/docs", "The page", _PART),
        Operation("get", "/docs/page.css", "A part of the page", _PART),
        Operation("get", "/docs/icon.svg", "A part of the page", _PART),
        Operation("get", "/docs/{script}.js", "A part of the page", {**_PART, 404: UNKNOWN}),
        Operation(
            "get", "/docs/models", "Models in order of their names, some at a time", {
                200: Answer("How many there are, and the rows asked for", {JSON: {
                    "type": "object", "required": ["total", "models"],
                    "properties": {"total": {"type": "integer"}, "models": {"type": "array", "items": _OBJECT}},
                }}),
                400: BAD,
            },
            parameters=(
                query("match", "what a name holds, in any case", _TEXT),
                query("from", "rows to pass over", {"type": "integer", "minimum": 0}),
            ),
        ),
        Operation(
            "get", "/docs/models/{name}", "All that is known of one model",
            {200: Answer("Its signature, package and parity", {JSON: _OBJECT}), 404: UNKNOWN}, parameters=(_VERSION,),
        ),
        Operation(
            "get", "/docs/models/{name}/sample", "The golden sample's first row as a binary infer request",
            {200: Answer("JSON, as long as Inference-Header-Content-Length says, and the tensors", {OCTETS: {}}),
             404: UNKNOWN, 503: NOT_READY}, parameters=(_VERSION,),
        ),
    ),
)  # fmt: skip
