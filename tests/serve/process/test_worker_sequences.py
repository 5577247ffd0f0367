"""Sequences under several workers: whichever accepts a request, one of them has the state."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.serve.test_sequences import repository

if TYPE_CHECKING:
    from tests.serve.conftest import Running
    from tests.serve.process.conftest import Programs

pytestmark = [
    pytest.mark.slow,  # several processes each
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes by /proc"),
]


def test_a_sequence_goes_over_any_connection(tmp_path: Path, program: Programs, client: type[Running]) -> None:
    def ask(s: socket.socket, sequence: int | str, x: float, **flags: Any) -> Any:
        tensor = {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [x]}
        document = {"inputs": [tensor], "parameters": {"sequence_id": sequence, **flags}}
        s.sendall(client.post("/v2/models/sum/infer", document))
        return client.read_answer(s)

    (tmp_path / "models").mkdir()
    with program(repository(tmp_path / "models"), "--workers", 2) as run:
        connections: list[socket.socket] = []
        while len(set(run.owners().values())) < 2:  # until both workers have some
            connections.append(run.connect())
            ask(connections[-1], 10_000 + len(connections), 0, sequence_start=True, sequence_end=True)
            assert len(connections) < 100
        for sequence in range(1, 9):
            sums = []
            for i in range(10):
                s = connections[(sequence + i) % len(connections)]
                answer = ask(s, sequence, i, sequence_start=i == 0, sequence_end=i == 9)
                assert answer.status == 200, answer.body
                found = {o["name"]: o["data"] for o in answer.json()["outputs"]}
                assert found["who"] == [sequence]
                sums.append(found["y"][0])
            assert sums == [0, 1, 3, 6, 10, 15, 21, 28, 36, 45]
        for s in connections:
            late = ask(s, 5, 1)
            assert late.status == 400 and "sequence 5 is not open" in late.json()["error"]
            s.close()
