"""Refusal: an answer that says no in the protocol's words: a status, one of its codes, and a line for people."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response


class Refusal(Exception):
    """`code` is of the specification's table (NAME_INVALID, BLOB_UNKNOWN and so on)."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}

    def answer(self) -> Response:
        """As it goes to the client."""
        tree = {"errors": [{"code": self.code, "message": self.message}]}
        return JSONResponse(tree, self.status, self.headers)
