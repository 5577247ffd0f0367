"""Tickets that are larger than a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
from gantline.serve.ticket import Batch, Ticket

from gantline.request import Request


def test_a_piece_stands_for_some_rows() -> None:
    nobody: Any = None
    request = Request({"x": np.arange(10), "y": np.ones((10, 2))}, "m", "1")
    whole = Ticket(request, 10, "k", ("z",), nobody, nobody, nobody, "context")
    piece = whole.piece(4, 7)
    assert piece.request.inputs["x"].tolist() == [4, 5, 6] and piece.request.inputs["y"].shape == (3, 2)
    assert (piece.rows, piece.key, piece.outputs, piece.context) == (3, "k", ("z",), "context")
    assert whole.rows == 10 and Batch([whole], 4, 7, 3, "full").partial
    assert not Batch([piece], 0, 3, 3, "full").partial
