"""What a request says of the outputs that it wants, whichever protocol carried it."""

from __future__ import annotations

from ..errors import BadRequest
from ..request import RequestedOutput
from .v2_shared import Memory, nowhere, place_of


def understand(wish: RequestedOutput, memory: Memory | None) -> None:
    """Read a wanted output's parameters: its place in shared memory, how many classes. BadRequest or NotFound."""
    what = f"output '{wish.name}'"
    if (place := place_of(wish.parameters, what)) is not None:
        if memory is None:
            raise nowhere(place, what)
        memory.check(place)  # now, before the model works for nothing
        wish.place = place
    classes = wish.parameters.get("classification", 0)
    if type(classes) is not int or classes < 0:
        raise BadRequest(f'{what}: "classification" must be a whole number from 1 up')
    wish.classes = classes
