"""CloudEvents around V1's predict messages, as KServe takes and gives them. No I/O.

Binary mode: an event's attributes are headers (ce-id, ...), and the body is the message. Structured mode: the body is
the event, a JSON document with the message in "data". The answer is an event of the same mode, with the type and the
source that KServe's have. Specification: https://github.com/cloudevents/spec, HTTP binding and JSON format.
"""

from __future__ import annotations

import binascii
from collections.abc import Set
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote

from ..errors import BadRequest, Unsupported
from .v2 import dump_json, parse_json

BINARY, STRUCTURED, FOREIGN = "binary", "structured", "foreign"  # the last: batches, and formats that are not JSON
TYPE = "io.kserve.inference.response"
CONTENT_TYPE = b"application/cloudevents+json"
_FAMILY = b"application/cloudevents"
_REQUIRED = ("specversion", "id", "source", "type")
_MARKS = frozenset(f"ce-{name}".encode() for name in _REQUIRED)
_VERSIONS = ("1.0", "0.3")
# what a header's value has as it is (section 3.1.3.2 of the binding); letters and digits are
_PLAIN = "!#$&'()*+,-./:;<=>?@[\\]^_`{|}~"


class Enveloped(NamedTuple):
    """A request's `asked` when it came in an event: what it asked for itself, and the event's mode."""

    asked: object
    mode: str


def mode_of(content_type: bytes, attributes: Set[bytes]) -> str:
    """How a request is an event, "" if it is none. `attributes`: the names of its headers that begin with ce-."""
    if content_type[: len(_FAMILY)].lower() == _FAMILY:
        return STRUCTURED if content_type.partition(b";")[0].strip().lower() == CONTENT_TYPE else FOREIGN
    return BINARY if attributes >= _MARKS else ""


def message_in(body: bytes, mode: str, version: str = "") -> Any:
    """The JSON document that an event carries; `version`: of CloudEvents, where the mode is binary. BadRequest."""
    if mode == FOREIGN:
        raise Unsupported(
            f"events are taken one at a time and as JSON: {CONTENT_TYPE.decode()}, or attributes as headers"
        )
    if mode == BINARY:
        _check_version(version)
        return parse_json(body)
    event = parse_json(body)
    if type(event) is not dict:
        raise BadRequest("the event is not a JSON object")
    for name in _REQUIRED:
        if type(event.get(name)) is not str or not event[name]:
            raise BadRequest(f'the event has no "{name}", which is to be a text')
    _check_version(event["specversion"])
    if "data" in event:
        return event["data"]
    packed = event.get("data_base64")
    if type(packed) is not str:
        raise BadRequest('the event has neither "data" nor "data_base64"')
    try:
        return parse_json(binascii.a2b_base64(packed, strict_mode=True))
    except ValueError as e:
        raise BadRequest(f'the event\'s "data_base64" is not base64: {str(e).lower()}') from e


def answer(body: bytes, mode: str, model: str, id: str, now: datetime) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of the event that answers one; `body`: the JSON that answers what was in it."""
    told = {
        "specversion": "1.0", "id": id, "source": f"io.kserve.inference.{model}", "type": TYPE, "time": now.isoformat(),
    }  # fmt: skip
    if mode == STRUCTURED:
        head = dump_json(told | {"datacontenttype": "application/json"})[:-1]
        return [(b"content-type", CONTENT_TYPE)], b'%s,"data":%s}' % (head, body)
    attributes = [(f"ce-{name}".encode(), quote(value, safe=_PLAIN).encode()) for name, value in told.items()]
    return [(b"content-type", b"application/json"), *attributes], body


def _check_version(version: str) -> None:
    if version not in _VERSIONS:
        raise BadRequest(f"the event's specversion is none of {' and '.join(_VERSIONS)}")
