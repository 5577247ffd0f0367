"""Members: the fitted estimators inside a fitted ensemble, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def members(found: Any) -> Iterator[Any]:
    """The estimators of an `estimators_`, however it is nested; names such as 'drop' are left out.

    numpy must not flatten it: pipelines and forests are sequences too, and would fall into their parts.
    """
    if isinstance(found, list | tuple | np.ndarray):
        for one in found:
            yield from members(one)
    elif found is not None and not isinstance(found, str):
        yield found
