"""Shim for aml_request and aml_response: `rawhttp`, AMLRequest and AMLResponse without Azure's packages."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from . import raw

F = TypeVar("F", bound=Callable[..., Any])
_rawHttpRequested = False

try:
    from werkzeug.wrappers import Request as _Request
    from werkzeug.wrappers import Response as _Response
except ImportError:
    _Request, _Response = raw.Request, raw.Response  # type: ignore[assignment,misc]


def rawhttp(run: F) -> F:
    """Mark run() as one that takes the HTTP request itself. Marks the whole script, as in Azure's server."""
    global _rawHttpRequested  # noqa: PLW0603  # the flag's place and name are the contract
    _rawHttpRequested = True
    return run


class AMLRequest(_Request):
    """The request that a @rawhttp script gets."""


class AMLResponse(_Response):
    """An answer with its own status and headers; a header's value is split at commas into repeated headers."""

    default_mimetype = "text/html"  # Flask's

    def __init__(
        self, message: Any, status_code: int, response_headers: Mapping[str, str] | None = None,
        json_str: bool = False, run_function_failed: bool = False,
    ) -> None:  # fmt: skip
        headers = response_headers or {}
        if message is None or json_str:
            text = json.dumps({} if message is None else message)
            super().__init__(text, status=status_code, mimetype="application/json")
        else:
            super().__init__(message, status=status_code)
            if "Content-Type" in headers:
                self.headers.remove("Content-Type")
        self.headers["x-ms-run-function-failed"] = str(run_function_failed)
        for name, value in headers.items():
            for one in value.split(","):
                self.headers.add(name, one.strip())
