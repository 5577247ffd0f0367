"""Traffic over HTTP while models are swapped: every request is answered, by the old version or the new, whole."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import gantline

if TYPE_CHECKING:
    from tests.serve.conftest import Running, Scaler

ROWS = 5
BODY = json.dumps(
    {"inputs": [{"name": "x", "shape": [ROWS, 3], "datatype": "FP32", "data": list(range(1, 3 * ROWS + 1))}]}
)
CLIENTS = 4


class Traffic:
    """Clients on connections of their own; each notes by which factor its answers were multiplied, in order."""

    def __init__(self, port: int, path: str) -> None:
        self.port, self.path = port, path
        self.stop = threading.Event()
        self.factors: list[list[float]] = [[] for _ in range(CLIENTS)]
        self.problems: list[str] = []
        self.threads = [threading.Thread(target=self._ask, args=(seen,)) for seen in self.factors]

    def _ask(self, seen: list[float]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            while not self.stop.is_set():
                connection.request("POST", self.path, BODY)
                answer = connection.getresponse()
                found = json.loads(answer.read())
                if answer.status != 200:
                    self.problems.append(f"{answer.status} {found}")
                    return
                data = found["outputs"][0]["data"]
                factors = {y / (i + 1) for i, y in enumerate(data)}
                if len(data) != 3 * ROWS or len(factors) != 1:
                    self.problems.append(f"a mixed answer: {data}")
                    return
                seen.append(factors.pop())
        except Exception as e:
            self.problems.append(repr(e))
        finally:
            connection.close()

    def wait_for_more(self, count: int = 10) -> None:
        """Until each client has had so many answers more: those to requests sent from now on, all but the first."""
        marks = [len(seen) + count for seen in self.factors]
        while any(len(s) < m for s, m in zip(self.factors, marks, strict=True)) and not self.problems:
            self.stop.wait(0.002)

    def last(self) -> set[float]:
        return {seen[-1] for seen in self.factors}


@contextmanager
def traffic(server: Running, path: str) -> Iterator[Traffic]:
    running = Traffic(server.port, path)
    for thread in running.threads:
        thread.start()
    try:
        running.wait_for_more()
        yield running
        running.wait_for_more()
    finally:
        running.stop.set()
        for thread in running.threads:
            thread.join(20)
    assert running.problems == []


def post(server: Running, path: str) -> int:
    return server.ask(server.post(path, b""))[0].status


def test_packages_swapped_under_load(servers: Callable[..., Running], scaler: Scaler, tmp_path: Path) -> None:
    target = tmp_path / "repo/m.pkg"
    for factor in (2, 3, 4, 5):
        gantline.package(scaler(tmp_path / "k.onnx", factor), name="m", output=tmp_path / f"{factor}.pkg")
    (tmp_path / "repo").mkdir()
    (tmp_path / "2.pkg").rename(target)
    server = servers(tmp_path / "repo")
    with traffic(server, "/v2/models/m/infer") as running:
        assert running.last() == {2}
        for factor in (3, 4, 5):
            target.rename(tmp_path / f"old-{factor}")
            (tmp_path / f"{factor}.pkg").rename(target)
            assert post(server, "/v2/repository/models/m/load") == 200
            running.wait_for_more(2)
            marks = [len(seen) for seen in running.factors]
            running.wait_for_more(10)
            after = {f for seen, m in zip(running.factors, marks, strict=True) for f in seen[m:]}
            assert after == {factor}, "after the call has returned there is only the new one"
        (target / "model.onnx").write_bytes(b"half")
        assert post(server, "/v2/repository/models/m/load") == 500
        running.wait_for_more()
        assert running.last() == {5}
    for seen in running.factors:
        assert seen == sorted(seen), "once the new version has answered, the old one does not"
    assert all(len(seen) >= 60 for seen in running.factors)


def test_a_set_of_versions_swapped_under_load(servers: Callable[..., Running], scaler: Scaler, tmp_path: Path) -> None:
    config = tmp_path / "m/config.pbtxt"
    for version in (1, 2, 3):
        scaler(tmp_path / f"m/{version}/model.onnx", version)
    config.write_text("max_batch_size: 8 version_policy { specific { versions: [1, 2] } }")
    server = servers(tmp_path)
    with traffic(server, "/v2/models/m/infer") as running:
        for versions in ("1, 3", "2, 3", "1, 2", "1, 3"):
            config.write_text(f"max_batch_size: 8 version_policy {{ specific {{ versions: [{versions}] }} }}")
            assert post(server, "/v2/repository/models/m/load") == 200
            running.wait_for_more()
            assert running.last() == {float(versions[-1])}
    assert {f for seen in running.factors for f in seen} == {2.0, 3.0}


def test_a_script_swapped_under_load(servers: Callable[..., Running], tmp_path: Path) -> None:
    """A request whose body is still on its way is answered too: by the new one."""
    target = tmp_path / "repo/s.pkg"
    for number in (1, 2):
        code = tmp_path / f"code{number}"
        code.mkdir()
        (code / "score.py").write_text(f"def init(): pass\ndef run(data): return [{number}] * 1000\n")
        gantline.package(script=code / "score.py", name="s", output=tmp_path / f"{number}.pkg")
    (tmp_path / "repo").mkdir()
    (tmp_path / "1.pkg").rename(target)
    server = servers(tmp_path / "repo")
    request = server.post("/score", b"{}", "Content-Type: application/json")
    seen: list[tuple[int, str]] = []
    swapped = threading.Event()

    def ask() -> None:
        after = 0
        with server.connect() as s:
            while after < 20:
                after += swapped.is_set()
                s.sendall(request)
                answer = server.read_answer(s)
                seen.append((answer.status, answer.body.decode()))

    clients = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    with server.connect() as slow:
        slow.sendall(request[:-1])
        for client in clients:
            client.start()
        server.until(lambda: bool(seen))
        target.rename(tmp_path / "old")
        (tmp_path / "2.pkg").rename(target)
        assert post(server, "/v2/repository/models/s/load") == 200
        swapped.set()
        slow.sendall(request[-1:])
        assert json.loads(server.read_answer(slow).body) == [2] * 1000
    for client in clients:
        client.join(20)
    whole = {(200, json.dumps([number] * 1000)) for number in (1, 2)}
    assert set(seen) == whole and len(seen) >= 20 * CLIENTS
