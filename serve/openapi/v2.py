"""V2 described: the Open Inference Protocol with Triton's extensions, as serve.routes.v2 and generate answer it."""

from __future__ import annotations

from dataclasses import replace

from gantline.signature import Signature, TensorSpec
from gantline.tensors import DATATYPES

from . import tensors
from .operation import JSON, OCTETS, TEXT, Answer, Body, Exact, Face, Operation, Schema, Subject, header, ref

ERROR = {JSON: ref("Error")}
PARAMETERS: Schema = {
    "type": "object",
    "description": "How the request is treated, and what a script may read",
    "properties": {
        "timeout": {"type": "integer", "minimum": 0, "description": "microseconds until the answer is of no use"},
        "priority": {"type": "integer", "minimum": 0, "description": "1 is the most urgent, 0 the model's default"},
        "sequence_id": {"type": ["integer", "string"], "minimum": 0},
        "sequence_start": {"type": "boolean"},
        "sequence_end": {"type": "boolean"},
        "binary_data_output": {"type": "boolean", "description": "outputs as bytes after the JSON"},
    },
    "additionalProperties": {"type": ["string", "number", "boolean"]},
}
SCHEMAS: dict[str, Schema] = {
    "Error": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}},
    "Parameters": PARAMETERS,
    "Tensor": {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": {"type": "string"},
            "datatype": {"enum": list(DATATYPES)},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            "parameters": {"type": "object"},
            "data": {"description": "elements, nested or flat in row-major order; null is NaN"},
        },
    },
    "TensorMetadata": {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": {"type": "string"},
            "datatype": {"enum": list(DATATYPES)},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": -1}, "description": "-1: any size"},
        },
    },
    "ModelMetadata": {
        "type": "object",
        "required": ["name", "versions", "platform", "inputs", "outputs"],
        "properties": {
            "name": {"type": "string"},
            "versions": {"type": "array", "items": {"type": "string"}},
            "platform": {"type": "string"},
            "inputs": {"type": "array", "items": ref("TensorMetadata")},
            "outputs": {"type": "array", "items": ref("TensorMetadata")},
            "parameters": {"type": "object"},
        },
    },
    "Statistics": {
        "type": "object",
        "required": ["model_stats"],
        "properties": {
            "model_stats": {
                "type": "array",
                "items": {"type": "object", "required": ["name", "version", "inference_count", "execution_count"]},
            }
        },
    },
    "ServerMetadata": {
        "type": "object",
        "required": ["name", "version", "extensions"],
        "properties": {
            "name": {"type": "string"},
            "version": {"type": "string"},
            "extensions": {"type": "array", "items": {"type": "string"}},
        },
    },
    "IndexEntry": {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string"},
            "version": {"type": "string"},
            "state": {"enum": ["UNKNOWN", "READY", "UNAVAILABLE", "LOADING", "UNLOADING"]},
            "reason": {"type": "string"},
        },
    },
}

_LENGTH = header(
    "Inference-Header-Content-Length",
    "bytes of JSON before the binary tensors; 0: the body is nothing but the only input's bytes",
    {"type": "integer", "minimum": 0},
)
_WAITS = (
    header("x-gantline-timeout-ms", "milliseconds for the whole request", {"type": "number", "exclusiveMinimum": 0}),
    header("x-gantline-priority", "1 is the most urgent", {"type": "integer", "minimum": 0}),
)
BAD = Answer("The request does not fit the model, or cannot be read", ERROR)
UNKNOWN = Answer("No such model or version", ERROR)
TOO_LARGE = Answer("The body is larger than the server takes", ERROR)
NOT_READY = Answer("The model is not ready", ERROR)
BUSY = Answer("The model is not ready, or more waits than can be answered in time", ERROR)
REFUSALS: dict[int, Answer] = {
    400: BAD,
    404: UNKNOWN,
    413: TOO_LARGE,
    429: Answer("This tenant has more waiting than its share", ERROR),
    500: Answer("The model failed", ERROR),
    501: Answer("Something that this model, or this server, does not do", ERROR),
    503: BUSY,
    504: Answer("The time that the request allows ran out", ERROR),
}


def infer(subject: Subject) -> Exact | None:
    """What one model takes and gives on .../infer; None for one that is asked by /score only."""
    signature = subject.signature
    if not signature.inputs and not signature.outputs:
        return None
    schema = request(signature)
    return Body(schema, example(subject), media={OCTETS: {}}), Answer(
        "The outputs", {JSON: reply(signature), OCTETS: {}}
    )


def request(signature: Signature) -> Schema:
    """The infer request of one signature, with its tensors by name."""
    inputs = [_input(t) for t in signature.inputs]
    needed = [t.name for t in signature.inputs if not t.optional]
    listed: Schema = {"type": "array", "minItems": len(needed), "maxItems": len(inputs)}
    if inputs:
        listed["items"] = inputs[0] if len(inputs) == 1 else {"anyOf": inputs}
    if len(needed) > 1:
        listed["allOf"] = [
            {"contains": {"type": "object", "properties": {"name": {"const": n}}, "required": ["name"]}} for n in needed
        ]
    wanted: Schema = {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"enum": [t.name for t in signature.outputs]}, "parameters": {"type": "object"}},
    }
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "parameters": ref("Parameters"),
            "inputs": listed,
            "outputs": {"type": "array", "items": wanted, "description": "which of them; none: all"},
        },
    }


def reply(signature: Signature) -> Schema:
    """The infer answer of one signature."""
    outputs = [_output(t) for t in signature.outputs]
    return {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "parameters": {"type": "object"},
            "outputs": {"type": "array", "items": {"anyOf": outputs} if outputs else {}},
        },
    }


def example(subject: Subject) -> Schema | None:
    """The sample as a request; None where it is too large to be read."""
    inputs = []
    for spec in subject.signature.inputs:
        array = subject.sample.get(spec.name)
        if array is None:
            if spec.optional:
                continue
            return None
        data = tensors.values(array, spec.datatype)
        if data is None:
            return None
        inputs.append({"name": spec.name, "datatype": spec.datatype, "shape": list(array.shape), "data": data})
    return {**({"parameters": dict(subject.parameters)} if subject.parameters else {}), "inputs": inputs}


def _tensor(spec: TensorSpec, shape: Schema, elements: Schema) -> Schema:
    return {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "description": tensors.described(spec),
        "properties": {
            "name": {"const": spec.name},
            "datatype": {"const": spec.datatype},
            "shape": shape,
            "parameters": {"type": "object"},
            "data": elements,
        },
    }


def _input(spec: TensorSpec) -> Schema:
    found = _tensor(spec, tensors.shape(spec), tensors.data(spec, tensors.element(spec.datatype)))
    return found | {"required": [*found["required"], "data"]}


def _output(spec: TensorSpec) -> Schema:
    flat: Schema = {"type": "array", "items": tensors.answered(spec.datatype)}
    plain = _tensor(spec, {"type": "array", "items": {"type": "integer"}}, flat)
    # as strings "value:index:label" when the request asks for a classification
    texts = _tensor(replace(spec, datatype="BYTES"), plain["properties"]["shape"], {"type": "array"})
    return {"anyOf": [plain, texts]} if spec.datatype != "BYTES" else plain


def get(path: str, what: str, schema: Schema | None, more: dict[int, Answer] | None = None) -> Operation:
    """A look at something: JSON of a schema, or a status without a body."""
    ok = Answer(what, {JSON: schema}) if schema is not None else Answer(what, {TEXT: {"type": "string"}})
    return Operation("get", path, what, {200: ok, **(more or {})})


def _of_models(base: str) -> tuple[Operation, ...]:
    there: dict[int, Answer] = {404: UNKNOWN, 503: NOT_READY}
    generic = Body(
        {"type": "object", "required": ["inputs"], "properties": {"inputs": {"type": "array", "items": ref("Tensor")}}},
        media={OCTETS: {}},
    )
    some: Schema = {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {"outputs": {"type": "array", "items": ref("Tensor")}},
    }
    return (
        get(base, "Names, datatypes and shapes of inputs and outputs", ref("ModelMetadata"), there),
        get(base + "/ready", "Whether it can be asked", None, {400: Answer("Not yet", ERROR), 404: UNKNOWN}),
        get(base + "/config", "Its Triton configuration", {"type": "object"}, there),
        get(base + "/stats", "What it has done", ref("Statistics"), there),
        Operation(
            "post", base + "/infer", "Ask the model",
            {200: Answer("The outputs", {JSON: some, OCTETS: {}}), **REFUSALS},
            generic, infer, True, (_LENGTH, *_WAITS),
        ),
    )  # fmt: skip


_CHANGE: Schema = {
    "type": "object",
    "properties": {"parameters": {"type": "object", "description": '"config": JSON; "file:PATH": base64'}},
}
_LOADS: dict[int, Answer] = {
    200: Answer("Done"),
    400: BAD,
    404: UNKNOWN,
    413: TOO_LARGE,
    500: Answer("It could not be loaded; what served goes on serving", ERROR),
    501: Answer("A parameter that is not supported", ERROR),
    503: Answer("The server's settings do not allow it", ERROR),
}
_MODEL = "/v2/models/{name}"
_READY: Schema = {"type": "object", "required": ["ready"], "properties": {"ready": {"type": "boolean"}}}

V2 = Face(
    "V2",
    "The Open Inference Protocol (KServe V2, Triton): health, metadata, inference, statistics, repository",
    (
        get("/v2", "What this server is", ref("ServerMetadata")),
        get("/v2/", "What this server is", ref("ServerMetadata")),
        get("/v2/health/live", "Whether the server runs", {"type": "object", "required": ["live"]}),
        get("/v2/health/ready", "Whether it answers for its models", _READY, {503: Answer("Not yet", {JSON: _READY})}),
        get("/v2/models/stats", "What all models have done", ref("Statistics")),
        *_of_models(_MODEL),
        *_of_models(_MODEL + "/versions/{version}"),
        Operation(
            "post", "/v2/repository/index", "The models that the server knows",
            {200: Answer("One entry a version", {JSON: {"type": "array", "items": ref("IndexEntry")}}), 400: BAD,
             413: TOO_LARGE, 501: Answer("An unknown Content-Encoding", ERROR)},
            Body({"type": "object", "properties": {"ready": {"type": "boolean"}}}, required=False),
        ),
        Operation("post", "/v2/repository/models/{name}/load", "Load a model, or load it anew", _LOADS,
                  Body(_CHANGE, required=False)),
        Operation("post", "/v2/repository/models/{name}/unload", "Take a model out of service", _LOADS,
                  Body(_CHANGE, required=False)),
    ),
    SCHEMAS,
)  # fmt: skip
