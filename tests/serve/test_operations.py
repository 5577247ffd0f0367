"""What several workers know of their models, as one server would say it; the verbs themselves: routes/test_v2.py."""

from __future__ import annotations

from typing import Any

from gantline.serve.operations import merge_index


def row(name: str, state: str = "READY", version: str = "1", reason: str = "") -> dict[str, Any]:
    return {"name": name, "version": version, "state": state, "reason": reason}


def test_index_is_ready_where_all_are() -> None:
    one = [row("a"), row("b"), row("c", version="2"), {"name": "never"}]
    two = [row("a"), row("b", "LOADING"), {"name": "never"}]
    assert merge_index([one, two]) == [row("a"), row("b", "LOADING"), {"name": "never"}]
    assert merge_index([two, one]) == [row("a"), row("b", "LOADING"), {"name": "never"}]
    assert merge_index([one]) == one
    torn = row("a", "UNAVAILABLE", reason="torn")
    assert merge_index([[torn], [row("a")]]) == merge_index([[row("a")], [torn]]) == [torn]
