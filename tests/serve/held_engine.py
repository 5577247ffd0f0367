"""An engine that waits for the test: how long a run takes is then nobody's guess."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from gantline.tensors import Array

from .conftest import WAIT_S, Running


class Held:
    """A model's engine whose runs go on only when the test lets them."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.signature = engine.signature
        self.sequences = getattr(engine, "sequences", None)
        self.began, self.go_on = threading.Event(), threading.Event()
        self.rows: list[int] = []

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        self.began.set()
        assert self.go_on.wait(WAIT_S)
        self.rows.append(len(inputs["x"]))
        found: list[Array] = self.engine.run(inputs, outputs)
        return found

    def let_one_go(self) -> None:
        """The run that is held goes on; the next one is held again, when this returns it has begun."""
        go_on, self.go_on = self.go_on, threading.Event()
        self.began.clear()
        go_on.set()
        assert self.began.wait(WAIT_S)

    def close(self) -> None:
        self.engine.close()


def hold(server: Running, name: str) -> Held:
    """Put one in the place of a served model's own; its runs are on a thread from now on."""

    def put() -> Held:
        model = server.stack.repository.find(name)
        held = Held(model.session.engine)
        model.session.engine = held
        model.dispatch.batch_ns = 10**12
        return held

    return server.on_loop(put)
