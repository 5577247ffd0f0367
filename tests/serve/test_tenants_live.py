"""Two tenants on a real server that want more than there is."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from .conftest import Running

ASKED = 600


def test_ten_to_one_with_equal_weights_get_half_each(servers: Callable[..., Running], zoo: Path) -> None:
    """20 connections of one tenant and 2 of another each send again as soon as they are answered."""
    server = servers(zoo / "toil.onnx")
    body = {"inputs": [{"name": "x", "datatype": "INT64", "shape": [1], "data": [1]}]}
    served: Counter[str] = Counter()
    lock = threading.Lock()
    begin = threading.Barrier(22)

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
                        return
                    served[tenant] += 1

    threads = [threading.Thread(target=client, args=("big" if i < 20 else "small",)) for i in range(22)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert served.total() == ASKED and abs(served["small"] / ASKED - 0.5) <= 0.05, served
