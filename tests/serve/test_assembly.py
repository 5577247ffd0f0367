"""Stacking requests and taking their answers apart."""

from __future__ import annotations

from typing import Any

import numpy as np
from gantline.serve.assembly import Assembly, follow
from gantline.serve.ticket import Ticket

from gantline.request import Request


def ticket(*values: float) -> Ticket:
    nobody: Any = None
    x = np.array(values, np.float32).reshape(-1, 1)
    return Ticket(Request({"x": x, "n": x[:, 0].astype(np.int64)}), len(x), "k", ("y",), nobody, nobody, nobody, None)


def test_there_and_back() -> None:
    tickets = [ticket(1, 2), ticket(), ticket(3)]
    feed = Assembly().stack(tickets)
    assert feed["x"].tolist() == [[1], [2], [3]] and feed["n"].tolist() == [1, 2, 3]
    found = Assembly().split(tickets, [feed["x"] * 2, feed["n"]])
    assert [[a.tolist() for a in one] for one in found] == [[[[2], [4]], [1, 2]], [[], []], [[[6]], [3]]]


def test_shapes_that_may_be_stacked() -> None:
    a, b = np.zeros((1, 3)), np.zeros((5, 3))
    same = Assembly().shapes
    assert same({"x": a, "y": a}) == same({"y": b, "x": b}) != same({"x": a, "y": np.zeros((1, 4))})


def test_outputs_that_follow_rows() -> None:
    assert follow([np.zeros((2, 3)), np.zeros(2)], 2)
    assert not follow([np.zeros((2, 3)), np.zeros(3)], 2) and not follow([np.array(1.0)], 1)
