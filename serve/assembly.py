"""Assembly: from requests to one feed for the engine, and from its outputs to one answer for each."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from gantline.accelerators.padding import Padding

from gantline.request import Request
from gantline.signature import Signature
from gantline.tensors import Array

from .ticket import Ticket


class Assembly:
    """Stacks requests whose trailing shapes are the same."""

    completes = False  # whether complete() does anything

    def served(self, signature: Signature) -> Signature:
        """The signature that clients see."""
        return signature

    def complete(self, request: Request) -> None:
        """Add inputs that the client may leave to the server."""

    def shapes(self, inputs: Mapping[str, Array]) -> Hashable:
        """What of the inputs' shapes has to be the same for requests to be stacked."""
        return tuple(sorted((n, a.shape[1:]) for n, a in inputs.items()))

    def stack(self, tickets: Sequence[Ticket]) -> dict[str, Array]:
        """The inputs of all tickets, one under the other."""
        return {name: np.concatenate([t.request.inputs[name] for t in tickets]) for name in tickets[0].request.inputs}

    def split(self, tickets: Sequence[Ticket], found: Sequence[Array]) -> list[list[Array]]:
        """Each ticket's rows of every output."""
        results, at = [], 0
        for ticket in tickets:
            end = at + ticket.rows
            results.append([array[at:end] for array in found])
            at = end
        return results


class Padded(Assembly):
    """Stacks requests of different lengths, as their package declares it."""

    completes = True

    def __init__(self, padding: Padding) -> None:
        self.padding = padding

    def served(self, signature: Signature) -> Signature:
        return self.padding.served(signature)

    def complete(self, request: Request) -> None:
        request.inputs = self.padding.complete(request.inputs)

    def shapes(self, inputs: Mapping[str, Array]) -> Hashable:
        return self.padding.key(inputs)

    def stack(self, tickets: Sequence[Ticket]) -> dict[str, Array]:
        return self.padding.stack([t.request.inputs for t in tickets])

    def split(self, tickets: Sequence[Ticket], found: Sequence[Array]) -> list[list[Array]]:
        results = super().split(tickets, found)
        cut = self.padding.cut
        return [
            [cut(name, array, t.request.inputs) for name, array in zip(t.outputs, result, strict=True)]
            for t, result in zip(tickets, results, strict=True)
        ]


def follow(outputs: Sequence[Array], rows: int) -> bool:
    """Whether each output has one row for each row in."""
    for array in outputs:  # noqa: SIM110  # all() with a generator takes three times as long
        if not array.shape or array.shape[0] != rows:
            return False
    return True
