"""Reflection: what grpcurl and its like ask: which services there are, and how their messages are made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gantline.errors import GantlineError, NotFound
from gantline.pb import message, pool

from .answering import parse, refuse
from .call import Call
from .gate import HEALTH_SERVICE, REFLECTION, SERVICE
from .statuses import refusal

SERVICES = (SERVICE, HEALTH_SERVICE, *(f"{p}.ServerReflection" for p in REFLECTION))


class Reflection:
    """One ServerReflectionInfo call (a Receiver): each question is answered at once, from our descriptor pool."""

    def __init__(self, call: Call, package: str) -> None:
        self._call = call
        self._package = package

    def message(self, data: bytes) -> None:
        try:
            request = parse(f"{self._package}.ServerReflectionRequest", data)
        except GantlineError as e:
            refuse(self._call, e)
            return
        answer = message(f"{self._package}.ServerReflectionResponse")(valid_host=request.host)
        answer.original_request.CopyFrom(request)
        try:
            self._fill(answer, request)
        except NotFound as e:
            answer.error_response.error_code, answer.error_response.error_message = refusal(e)
        self._call.send(answer.SerializeToString())

    def half_close(self) -> None:
        self._call.finish()

    def _fill(self, answer: Any, request: Any) -> None:
        kind = request.WhichOneof("message_request")
        if kind == "list_services":
            for name in SERVICES:
                answer.list_services_response.service.add(name=name)
        elif kind == "all_extension_numbers_of_type":
            _find(request.all_extension_numbers_of_type)
            answer.all_extension_numbers_response.base_type_name = request.all_extension_numbers_of_type
        elif kind == "file_by_filename":
            answer.file_descriptor_response.file_descriptor_proto.extend(_files(request.file_by_filename))
        elif kind == "file_containing_symbol":
            name = _find(request.file_containing_symbol).name
            answer.file_descriptor_response.file_descriptor_proto.extend(_files(name))
        else:
            raise NotFound("there are no extensions" if kind else "the request asks nothing")


def _find(symbol: str) -> Any:
    try:
        return pool().FindFileContainingSymbol(symbol)
    except KeyError:
        raise NotFound(f"symbol '{symbol}' is unknown") from None


def _files(name: str) -> Iterator[bytes]:
    """A file and all that it imports, each once."""
    try:
        waiting = [pool().FindFileByName(name)]
    except KeyError:
        raise NotFound(f"file '{name}' is unknown") from None
    seen: set[str] = set()
    while waiting:
        file = waiting.pop()
        if file.name not in seen:
            seen.add(file.name)
            waiting += file.dependencies
            yield file.serialized_pb
