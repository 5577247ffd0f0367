"""Quantities of processors and memory as Kubernetes writes them: 500m, 2, 512Mi, 1.5G."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from gantline.errors import UsageError

_QUANTITY = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?")
_UNITS = {
    "m": Decimal("0.001"), "": Decimal(1), "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9),
    "T": Decimal(10**12), "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40),
}  # fmt: skip
_LEAST_MEMORY = 1 << 20  # bytes: what is less is a forgotten unit


def processors(raw: Any, where: str) -> str:
    """A number of processors, as it is written. UsageError (naming `where`) for anything else."""
    text = _text(raw)
    if not re.fullmatch(r"[\d.]+m?", text) or not _QUANTITY.fullmatch(text) or value(text) <= 0:
        raise UsageError(f"{where}: {raw!r:.40} is no number of processors; 500m or 2 say")
    if value(text) * 1000 % 1:
        raise UsageError(f"{where}: {raw!r:.40} is finer than 1m, the least that there is of a processor")
    return text


def memory(raw: Any, where: str) -> str:
    """An amount of memory, as it is written. UsageError (naming `where`) for anything else, 512 bytes included."""
    text = _text(raw)
    if text.endswith("m") or not _QUANTITY.fullmatch(text) or value(text) < _LEAST_MEMORY:
        raise UsageError(f"{where}: {raw!r:.40} is no amount of memory of 1Mi at least; 512Mi or 2Gi say")
    return text


def value(text: str) -> Decimal:
    """What a checked quantity comes to: processors, or bytes."""
    match = _QUANTITY.fullmatch(text)
    assert match is not None
    return Decimal(match[1]) * _UNITS[match[2] or ""]


def _text(raw: Any) -> str:
    return str(raw).strip() if isinstance(raw, int | float | str) and not isinstance(raw, bool) else ""
