"""Exchange: calls as bytes and answers as values or errors. Pure: both clients share it, neither's I/O is here."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from ..errors import (
    BadArtefact,
    BadRequest,
    DeadlineExceeded,
    Denied,
    EngineFailed,
    GantlineError,
    NotFound,
    ScriptFailed,
    TooLarge,
    Unavailable,
    Unsupported,
    UsageError,
)
from ..request import Parameter, Request, RequestedOutput
from ..signature import Signature, TensorSpec
from ..tensors import Array
from ..wire.v2 import decode_reply, encode_request, parse_json
from .result import Result

KEY_VARIABLE = "GANTLINE_KEY"
_LENGTH = "inference-header-content-length"
_TERSE = 20  # characters; a shorter message ("Not Found") does not say what it is about
_SHOWN = 300  # characters of an answer that is no error of ours
COMPRESS_FROM = 1024  # bytes; below it compression costs more than it saves
ERRORS: dict[int, type[GantlineError]] = {
    400: BadRequest,
    401: Denied,
    403: Denied,
    404: NotFound,
    408: DeadlineExceeded,
    413: TooLarge,
    415: BadRequest,
    429: Unavailable,
    431: TooLarge,
    501: Unsupported,
    502: Unavailable,
    503: Unavailable,
    504: DeadlineExceeded,
}


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request. `repeatable`: it may be sent again when a kept connection turns out to be closed."""

    method: str
    path: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    repeatable: bool = True


@dataclass(slots=True)
class Answer:
    """One HTTP answer; header names in lower case."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def model_path(model: str, version: str = "", leaf: str = "") -> str:
    """`/v2/models/M[/versions/V][/leaf]`."""
    middle = f"/versions/{quote(version, safe='')}" if version else ""
    return f"/v2/models/{quote(model, safe='')}{middle}{'/' + leaf if leaf else ''}"


def infer_call(
    model: str, version: str, inputs: Mapping[str, Array], outputs: Sequence[str] | None, binary: bool,
    id: str | None, parameters: Mapping[str, Parameter] | None, classes: int,
) -> Call:  # fmt: skip
    """An infer request; `binary` is how inputs are sent and outputs are asked for."""
    request = Request(dict(inputs), id=id, parameters=dict(parameters) if parameters else None)
    if outputs is None:
        request.binary_output = binary
    else:
        request.outputs = [RequestedOutput(name, binary, classes) for name in outputs]
    try:
        body, length = encode_request(request, binary)
    except TypeError as e:
        raise BadRequest(f"model '{model}': {e}") from e
    kind = "application/json" if length is None else "application/octet-stream"
    headers = [("content-type", kind)]
    if length is not None:
        headers.append((_LENGTH, str(length)))
    return Call("POST", model_path(model, version, "infer"), body, tuple(headers))


def json_call(method: str, path: str, document: Any = None) -> Call:
    """A call with a JSON body, or none."""
    if document is None:
        return Call(method, path)
    return Call(method, path, json.dumps(document).encode(), (("content-type", "application/json"),))


def score_call(body: Any, path: str, content_type: str) -> Call:
    """A call of a scoring script: bytes and text as they are, anything else as JSON. Never sent twice."""
    if isinstance(body, str):
        body = body.encode()
    elif not isinstance(body, bytes | bytearray | memoryview):
        body = json.dumps(body).encode()
    path = quote("/" + path.removeprefix("/"), safe="/?&=%:;,@+~")
    return Call("POST", path, bytes(body), (("content-type", content_type),), repeatable=False)


def clean_headers(headers: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    """A user's headers with names in lower case; UsageError for what HTTP cannot carry."""
    for name, value in (headers or {}).items():
        if not name or not all(c.isascii() and (c.isalnum() or c in "-_.") for c in name):
            raise UsageError(f"header name {name!r}: use letters, digits, '-', '_' and '.'")
        if any(c in value for c in "\r\n\0") or not value.isascii():
            raise UsageError(f"header {name!r}: its value must be one line of ASCII text")
    return tuple((k.lower(), v) for k, v in (headers or {}).items())


def key_header(key: str | None, url: str | None, headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """The headers with an API key, if there is one. None: GANTLINE_KEY, for a server that was not named.

    Only then: a key of one server is not to be sent to another.
    """
    secret = os.environ.get(KEY_VARIABLE) if key is None and url is None else key
    if not secret:
        return headers
    if any(c <= " " or c > "~" for c in secret):
        raise UsageError("key: expected visible ASCII characters without spaces")
    if any(name in ("authorization", "x-api-key") for name, _ in headers):
        raise UsageError("key: the headers have one already; give one of them")
    return (*headers, ("authorization", f"Bearer {secret}"))


def compressed(call: Call) -> Call:
    """The same call with its body under gzip, where that is worth it."""
    if len(call.body) < COMPRESS_FROM:
        return call
    machine = zlib.compressobj(1, zlib.DEFLATED, 31)
    body = machine.compress(call.body) + machine.flush()
    return Call(call.method, call.path, body, (*call.headers, ("content-encoding", "gzip")), call.repeatable)


def infer_result(answer: Answer, url: str) -> Result:
    """The outputs; the error that the server named; or BadArtefact for an answer that is not V2."""
    raise_for(answer, url)
    length = answer.headers.get(_LENGTH)
    try:
        return Result(decode_reply(answer.body, int(length) if length else None))
    except ValueError as e:
        raise BadArtefact(f"{url}: not a V2 infer answer: {e}") from e


def json_result(answer: Answer, url: str) -> Any:
    """The JSON document of an answer (None for an empty one), or the error that the server named."""
    raise_for(answer, url)
    try:
        return parse_json(answer.body) if answer.body else None
    except BadRequest as e:
        raise BadArtefact(f"{url}: the answer is not JSON: {answer.body[:_SHOWN]!r}") from e


def score_result(answer: Answer, url: str) -> Any:
    """What a script answered: parsed where it is JSON, else bytes. ScriptFailed for a 500."""
    if answer.status == 500:
        raise ScriptFailed(_problem(answer, url))
    raise_for(answer, url)
    if "json" in answer.headers.get("content-type", ""):
        return json_result(answer, url)
    return answer.body


def signature_of(metadata: Mapping[str, Any], url: str) -> Signature:
    """The signature in a model's V2 metadata."""
    try:
        inputs, outputs = (tuple(_spec(t) for t in metadata[key]) for key in ("inputs", "outputs"))
    except (KeyError, TypeError, ValueError) as e:
        raise BadArtefact(f"{url}: not V2 model metadata: {e!r}") from e
    return Signature(inputs, outputs)


def columns_of_matrix(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the columns of a model's one matrix, in order; empty where its metadata tell none."""
    inputs = metadata.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1:
        return ()
    beside = inputs[0].get("parameters")
    columns = beside.get("columns") if isinstance(beside, Mapping) else None
    return tuple(map(str, columns)) if isinstance(columns, list) else ()


def _spec(tensor: Mapping[str, Any]) -> TensorSpec:
    beside = tensor.get("parameters")  # ours; other servers' hold other things, or are not there
    beside = beside if isinstance(beside, Mapping) else {}
    labels = beside.get("labels")
    return TensorSpec(
        tensor["name"], tensor["datatype"], tuple(map(int, tensor["shape"])), beside.get("optional") is True,
        tuple(map(str, labels)) if isinstance(labels, list) else (),
    )  # fmt: skip


def raise_for(answer: Answer, url: str) -> None:
    """The error for a status that is not a success."""
    status = answer.status
    if 200 <= status < 300:
        return
    kind = ERRORS.get(status, BadRequest if 400 <= status < 500 else EngineFailed if status >= 500 else Unsupported)
    if kind is Denied:
        raise Denied(_problem(answer, url), known=status == 403)
    raise kind(_problem(answer, url))


def _problem(answer: Answer, url: str) -> str:
    try:
        tree = json.loads(answer.body)
    except ValueError:
        tree = None
    if isinstance(tree, dict):
        told = tree.get("error") or tree.get("message")
        if isinstance(told, str) and told:
            told = " ".join(told.split("\n"))
            return f"{url} answered {answer.status}: {told}" if len(told) < _TERSE else told
    text = " ".join(answer.body[:_SHOWN].decode("utf-8", "replace").split())
    return f"{url} answered {answer.status}{': ' + text if text else ''}"


def decoded(answer: Answer, url: str) -> Answer:
    """The answer without its Content-Encoding."""
    coding = answer.headers.pop("content-encoding", "identity").lower()
    if coding == "identity" or not answer.body:
        return answer
    try:
        answer.body = zlib.decompress(answer.body, {"gzip": 31, "x-gzip": 31, "deflate": 15}[coding])
    except KeyError as e:
        raise Unsupported(f"{url}: the answer's Content-Encoding {coding!r} was not asked for") from e
    except zlib.error as e:
        raise BadArtefact(f"{url}: the answer's {coding} body is damaged: {e}") from e
    return answer
