"""Quantities: what Kubernetes takes, and a forgotten unit found."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from gantline.builders.deploy.quantity import memory, processors, value

from gantline.errors import UsageError


@pytest.mark.parametrize(("raw", "worth"), [("500m", "0.5"), (2, "2"), (0.25, "0.25"), ("1.5", "1.5")])
def test_processors(raw: Any, worth: str) -> None:
    assert value(processors(raw, "cpu")) == Decimal(worth)


@pytest.mark.parametrize(("raw", "worth"), [("512Mi", 2**29), ("1.5G", 1_500_000_000), (4 << 20, 4 << 20)])
def test_memory(raw: Any, worth: int) -> None:
    assert value(memory(raw, "memory")) == worth


@pytest.mark.parametrize("raw", ["", "0", "-1", "2Gi", "1e3", "two", True, None, [], "1.2.3"])
def test_no_processors(raw: Any) -> None:
    with pytest.raises(UsageError, match=r"here: .* is no number of processors"):
        processors(raw, "here")


def test_no_finer_than_a_thousandth() -> None:
    assert value(processors("0.001", "here")) == Decimal("0.001")
    for raw in ("0.0001", "0.5m"):
        with pytest.raises(UsageError, match=r"here: .* is finer than 1m"):
            processors(raw, "here")


@pytest.mark.parametrize("raw", ["", "512", "500m", "512MB", "-1Gi", True, None])
def test_no_memory(raw: Any) -> None:
    with pytest.raises(UsageError, match=r"here: .* is no amount of memory"):
        memory(raw, "here")
