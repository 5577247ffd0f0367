"""Two tenants on a real server that want more than there is."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .conftest import WAIT_S, Running

CLIENTS = 22
ASKED = 600


def test_ten_to_one_with_equal_weights_get_half_each(servers: Callable[..., Running], zoo: Path) -> None:
    """20 connections of one tenant and 2 of another each send again as soon as they are answered."""
    server = servers(zoo / "toil.onnx")
    body = {"inputs": [{"name": "x", "datatype": "INT64", "shape": [1], "data": [1]}]}
    model = server.stack.repository.find("toil")
    everybody, finished = threading.Event(), threading.Event()

    class Crowded:
        """Its engine, which begins when all but the one that it runs for wait: whatever the machine is at."""

        def __init__(self, engine: Any) -> None:
            self.engine = engine
            self.signature = engine.signature

        def run(self, inputs: Any, outputs: Any) -> Any:
            end = time.monotonic() + WAIT_S
            while everybody.is_set() and not finished.is_set() and len(model.batcher) < CLIENTS - 1:
                assert time.monotonic() < end
                time.sleep(0.0001)
            return self.engine.run(inputs, outputs)

        def close(self) -> None:
            self.engine.close()

    model.session.engine = Crowded(model.session.engine)
    server.on_loop(lambda: setattr(model.dispatch, "batch_ns", 10**12))  # on a thread
    served: Counter[str] = Counter()
    lock = threading.Lock()
    begin = threading.Barrier(CLIENTS, everybody.set)

    def client(tenant: str) -> None:
        message = server.post("/v2/models/toil/infer", body, f"x-gantline-tenant: {tenant}")
        with server.connect() as s:
            s.sendall(message)
            assert server.read_answer(s).status == 200
            begin.wait(20)
            while True:
                s.sendall(message)
                assert server.read_answer(s).status == 200
                with lock:
                    if served.total() >= ASKED:
                        finished.set()
                        return
                    served[tenant] += 1

    threads = [threading.Thread(target=client, args=("big" if i < 20 else "small",)) for i in range(CLIENTS)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert served.total() == ASKED and abs(served["small"] / ASKED - 0.5) <= 0.02, served
