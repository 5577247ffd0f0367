"""The outputs that a request asks for, as both protocols say it."""

from __future__ import annotations

import pytest

from gantline.errors import BadRequest, NotFound
from gantline.request import Parameter, Place, RequestedOutput
from gantline.wire.v2_shared import OFFSET, REGION, SIZE
from gantline.wire.v2_wishes import understand


class Regions:
    """Shared memory of one region, "r"."""

    def read(self, place: Place) -> memoryview:
        return memoryview(bytes(place.size))

    def check(self, place: Place) -> None:
        if place.region != "r":
            raise NotFound(f"region '{place.region}' is not registered")

    def write(self, place: Place, data: bytes) -> None:
        raise AssertionError("there is no answer yet")


def wish(parameters: dict[str, Parameter]) -> RequestedOutput:
    return RequestedOutput("y", parameters=parameters)


def test_what_is_asked_for() -> None:
    plain, classes, there = wish({}), wish({"classification": 3}), wish({REGION: "r", OFFSET: 8, SIZE: 16})
    for one in (plain, classes, there):
        understand(one, Regions())
    assert (plain.place, plain.classes) == (None, 0)
    assert (classes.place, classes.classes) == (None, 3)
    assert (there.place, there.classes) == (Place("r", 8, 16), 0)


@pytest.mark.parametrize("classes", [-1, True, 1.5, "3"])
def test_classes_are_counted(classes: Parameter) -> None:
    with pytest.raises(BadRequest, match="output 'y': \"classification\" must be a whole number"):
        understand(wish({"classification": classes}), None)


def test_a_place_is_looked_at_before_the_model_works() -> None:
    with pytest.raises(NotFound, match="region 'q' is not registered"):
        understand(wish({REGION: "q", SIZE: 16}), Regions())
    with pytest.raises(BadRequest, match="output 'y' lies in shared memory region 'r'"):
        understand(wish({REGION: "r", SIZE: 16}), None)
