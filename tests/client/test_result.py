"""A Result is a mapping of writable arrays."""

from __future__ import annotations

import numpy as np

from gantline.client import Result
from gantline.request import Reply


def test_result() -> None:
    y = np.frombuffer(b"\0" * 8, np.float32)
    labels = np.array([b"caf\xc3\xa9", b"\xff"], object)
    result = Result(Reply("m", "2", [("y", y), ("labels", labels)], "7", {"a": 1}))
    assert (result.model, result.version, result.id, result.parameters) == ("m", "2", "7", {"a": 1})
    assert list(result) == ["y", "labels"] and len(result) == 2
    result["y"][0] = 1  # the bytes it came from are read-only
    assert result.text("labels").tolist() == ["café", "\ufffd"]
    assert repr(result) == "<Result of m:2 y: float32[2], labels: object[2]>"
