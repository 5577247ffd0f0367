"""Contract: a scoring script as Azure ML's inference server sees it: what it must define, how it is called.

Facts from azureml-inference-server-http 1.5.1 (field study, 2.7); beyond it: `async def run`, generators, and
`run_batch(list)`, which gets the bodies of all requests that wait and answers a list of the same length. Runs in the
host: standard library only.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl

from .raw import is_json, request_of
from .ring import Message

METHODS = ("POST", "GET", "OPTIONS", "HEAD", "PUT", "PATCH", "DELETE")  # Message.status is an index
MAX_STREAMS = 16  # requests side by side in a script that yields; its own MAX_STREAMS says otherwise
_RAW = ("azureml_inference_server_http.api.aml_request", "azureml.contrib.services.aml_request")


class ContractError(Exception):
    """The script is not one that can be served."""


class Refused(Exception):
    """The request does not fit the script: status and message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Head:
    """What the server passes on of a request's head."""

    __slots__ = ("headers", "method", "path", "query")

    def __init__(self, message: Message) -> None:
        self.method = METHODS[message.status]
        lines = message.meta.decode("latin-1").split("\n") if message.meta else ["", ""]
        self.path, self.query = lines[0], lines[1]
        self.headers: list[tuple[str, str]] = []
        for line in lines[2:]:
            name, _, value = line.partition(":")
            self.headers.append((name.title(), value))

    @property
    def content_type(self) -> str:
        """The media type, without parameters."""
        found = next((v for k, v in self.headers if k == "Content-Type"), "")
        return found.partition(";")[0].strip().lower()

    def mapping(self) -> dict[str, str]:
        """Headers as run() gets them: one string for each name."""
        out: dict[str, str] = {}
        for name, value in self.headers:
            out[name] = f"{out[name]},{value}" if name in out else value
        return out


class Script:
    """A loaded script. `mode` is string, schema, raw or tensors."""

    def __init__(self, path: str, contract: str) -> None:
        self.path = path
        module = _load(path)
        self.init: Callable[[], Any] | None = getattr(module, "init", None)
        self.batch: Callable[[list[str]], Any] | None = None
        self.wants_headers = False
        self.parameters: list[inspect.Parameter] = []
        self.decoupled = False  # each request gets any number of answers
        self.max_streams = MAX_STREAMS
        if contract == "tensors":
            self.mode = "tensors"
            self.run = _required(module, "infer", path)
            inner = inspect.unwrap(self.run)
            self.concurrent = inspect.isasyncgenfunction(inner)
            self.decoupled = self.concurrent or inspect.isgeneratorfunction(inner)
            self.max_streams = _max_streams(module)
            return
        self.init = _required(module, "init", path)
        self.batch = getattr(module, "run_batch", None)
        self.run = _run_of(module, path, self.batch)
        self._analyse()
        self.concurrent = self.batch is None and _is_async(self.run)

    def _analyse(self) -> None:
        if self.batch is not None:
            if _raw_wanted() or schema_of(self.run) is not None:
                raise ContractError("run_batch() takes strings: it goes with neither @rawhttp nor @input_schema")
            self.mode = "string"
            self.first = ""
            return
        parameters = list(inspect.signature(self.run).parameters.values())
        if any(p.kind not in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters):
            raise ContractError("run() cannot accept positional-only arguments, *args, or **kwargs.")
        self.parameters = [p for p in parameters if p.name != "request_headers"]
        self.wants_headers = len(self.parameters) != len(parameters)
        if not self.parameters:
            what = 'other than "request_headers"' if self.wants_headers else "for input data"
            raise ContractError(f"run() needs to accept an argument {what}.")
        self.first = self.parameters[0].name
        decorated = schema_of(self.run) is not None
        if _raw_wanted() and decorated:
            raise ContractError("run() cannot be decorated with both @rawhttp and @input_schema")
        self.mode = "raw" if _raw_wanted() else "schema" if decorated else "string"

    def arguments(self, message: Message) -> dict[str, Any]:
        """The keyword arguments of run() for a request. Refused for one that does not fit."""
        if self.mode == "string" and not message.status and not self.wants_headers:
            return {self.first: _text(message.body)}
        head = Head(message)
        if self.mode == "raw":
            values = {self.first: request_of(head.method, head.path, head.query, head.headers, message.body)}
        elif head.method not in ("GET", "POST"):
            raise Refused(405, "Method not allowed")
        elif self.mode == "string":
            values = {self.first: self.text(message)}
        else:
            values = self._picked(_query(head.query) if head.method == "GET" else _document(head, message.body))
        if self.wants_headers:
            values["request_headers"] = head.mapping()
        return values

    def text(self, message: Message) -> str:
        """The one string of an undecorated script: the body, or a GET's query as JSON."""
        if not message.status:
            return _text(message.body)
        head = Head(message)
        if head.method != "GET":
            raise Refused(405, "Method not allowed")
        return json.dumps(_query(head.query))

    def _picked(self, body: dict[str, Any]) -> dict[str, Any]:
        values = {}
        for p in self.parameters:
            value = body.get(p.name, p.default)
            if value is p.empty:
                raise Refused(400, f"A value is not provided for the {p.name!r} parameter.")
            values[p.name] = value
        return values

    def describe(self) -> dict[str, Any]:
        """What the server must know of the script."""
        out: dict[str, Any] = {"mode": self.mode, "concurrent": self.concurrent, "headers": self.wants_headers}
        out["batch"] = self.batch is not None
        if self.mode == "tensors":
            return out | {"decoupled": self.decoupled}
        schema = schema_of(self.run)
        if schema is None:
            plain = {"type": "object", "example": {}}
            out["schema"] = {"input": plain, "output": plain, "versions": ["2.0", "3.0", "3.1"]}
        else:
            out["schema"] = {
                "input": schema.get_input_schema(self.run),
                "output": schema.get_output_schema(self.run),
                "versions": schema.get_supported_versions(self.run),
            }
        return out


def schema_of(run: Callable[..., Any]) -> Any:
    """inference_schema's registry if it knows this function (the real one or the shim), else None."""
    registry = sys.modules.get("inference_schema.schema_util")
    return registry if registry is not None and registry.is_schema_decorated(run) else None


def _load(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("entry_module", path)
    if spec is None or spec.loader is None:
        raise ContractError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules["entry_module"] = module  # dataclasses and pickle look their module up
    spec.loader.exec_module(module)
    return module


def _required(module: ModuleType, name: str, path: str) -> Callable[..., Any]:
    found = getattr(module, name, None)
    if not callable(found):
        raise ContractError(f"the script does not define a function {name}()")
    return found  # type: ignore[no-any-return]  # callable() says nothing of what comes back


def _max_streams(module: ModuleType) -> int:
    found = getattr(module, "MAX_STREAMS", MAX_STREAMS)
    if type(found) is not int or found < 1:
        raise ContractError(f"MAX_STREAMS is {found!r}; it is a whole number from 1 up")
    return found


def _run_of(module: ModuleType, path: str, batch: Callable[..., Any] | None) -> Callable[..., Any]:
    driver = getattr(module, "driver_module", None)
    if isinstance(driver, ModuleType) and callable(getattr(driver, "run", None)):
        return driver.run  # type: ignore[no-any-return]  # an SDK's proxy: the script behind it is called
    if batch is not None and not hasattr(module, "run"):
        return batch
    return _required(module, "run", path)


def _raw_wanted() -> bool:
    return any(getattr(sys.modules.get(name), "_rawHttpRequested", False) for name in _RAW)


def _is_async(run: Callable[..., Any]) -> bool:
    inner = inspect.unwrap(run)
    return inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner)


def _text(body: bytes) -> str:
    try:
        return str(body, "utf-8")
    except UnicodeDecodeError as e:
        raise Refused(400, f"Input cannot be decoded as UTF-8: {e}") from None


def _query(query: str) -> dict[str, Any]:
    values: dict[str, list[Any]] = {}
    for key, value in parse_qsl(query, keep_blank_values=True, errors="replace"):
        try:
            item = json.loads(value)
        except (ValueError, RecursionError):
            item = value
        values.setdefault(key, []).append(item)
    return {k: v[0] if len(v) == 1 else v for k, v in values.items()}


def _document(head: Head, body: bytes) -> dict[str, Any]:
    if not is_json(head.content_type):
        raise Refused(415, "Expects Content-Type to be application/json")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as e:
        if body:
            raise Refused(400, f"POST body could not be decoded as JSON: {e}") from None
        raise Refused(400, "POST body is empty. Expecting a JSON dictionary.") from None
    if not isinstance(found, dict):
        raise Refused(400, "POST body should be a JSON dictionary.")
    return found
