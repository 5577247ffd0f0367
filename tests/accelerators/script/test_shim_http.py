"""AMLResponse as scripts make it."""

from __future__ import annotations

import pytest
from gantline.accelerators.script.shim_http import AMLRequest, AMLResponse
from werkzeug.wrappers import Request, Response


def test_they_are_werkzeugs_where_that_is_installed() -> None:
    assert issubclass(AMLRequest, Request) and issubclass(AMLResponse, Response)


@pytest.mark.parametrize(
    ("response", "status", "body", "kind"),
    [
        (AMLResponse("plain", 200), 200, b"plain", "text/html; charset=utf-8"),
        (AMLResponse({"a": 1}, 201, json_str=True), 201, b'{"a": 1}', "application/json"),
        (AMLResponse(None, 404), 404, b"{}", "application/json"),
        (AMLResponse(b"\x89", 200, {"Content-Type": "image/png"}), 200, b"\x89", "image/png"),
    ],
)
def test_forms(response: AMLResponse, status: int, body: bytes, kind: str) -> None:
    assert (response.status_code, response.get_data()) == (status, body)
    assert response.headers.getlist("Content-Type") == [kind]
    assert response.headers["x-ms-run-function-failed"] == "False"


def test_values_are_split_at_commas() -> None:
    response = AMLResponse("x", 200, {"X-Two": "a, b"}, run_function_failed=True)
    assert response.headers.getlist("X-Two") == ["a", "b"]
    assert response.headers["x-ms-run-function-failed"] == "True"
