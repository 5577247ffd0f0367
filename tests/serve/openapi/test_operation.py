"""What descriptions are made of."""

from __future__ import annotations

from gantline.serve.openapi.operation import header, query, ref


def test_parameters_and_references() -> None:
    assert query("q", "what", {"type": "string"})["in"] == "query"
    assert header("x-h", "what", {"type": "string"}) == {
        "name": "x-h", "in": "header", "description": "what", "schema": {"type": "string"},
    }  # fmt: skip
    assert ref("Error") == {"$ref": "#/components/schemas/Error"}
