"""What a load adds to this process, told from what it does not."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from gantline.serve.scale import Scale

MIB = 1 << 20
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="tells memory by /proc")


def test_growth_of_one_alone() -> None:
    scale = Scale()
    with scale.weigh() as weighing:
        kept = np.ones(64 * MIB, np.uint8)
    assert 60 * MIB < weighing.growth < 80 * MIB and kept[0]
    with scale.weigh() as weighing:
        del kept
    assert weighing.growth == 0, "what is given back is no growth"


def test_nothing_is_known_of_those_that_overlap() -> None:
    scale = Scale()
    with scale.weigh() as first:
        with scale.weigh() as second:
            kept = np.ones(64 * MIB, np.uint8)
        more = np.ones(64 * MIB, np.uint8)
    assert first.growth == second.growth == 0 and kept[0] == more[0]
    with scale.weigh() as third:
        scale.stir()
        again = np.ones(64 * MIB, np.uint8)
    assert third.growth == 0 and again[0], "another model was let go"
    with pytest.raises(ZeroDivisionError), scale.weigh():
        raise ZeroDivisionError
    with scale.weigh() as last:
        final = np.ones(64 * MIB, np.uint8)
    assert last.growth > 60 * MIB and final[0], "a load that failed is over, too"
