"""How wheels are to be built, and what makes no sense."""

from __future__ import annotations

import pytest
from gantline.builders.lock.building import CONTAINER, HERE, Building

from gantline.errors import UsageError


def test_what_makes_no_sense() -> None:
    assert Building(CONTAINER, "builder.tar").image == "builder.tar"
    with pytest.raises(UsageError, match="auto or container or here, not 'there'"):
        Building("there")
    with pytest.raises(UsageError, match=r"--builder b\.tar: no image is used on this machine; --build-wheels-in con"):
        Building(HERE, "b.tar")
