"""A change that some workers make and others cannot: all are alike again in the end, and whoever asked is told."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.serve.conftest import Running
    from tests.serve.process.conftest import Program, Programs

pytestmark = [
    pytest.mark.slow,  # several processes each
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes by /proc"),
]
WAIT_S = 60.0
# as if there was room for one of them
SCRIPT = """
import os
def init():
    if not os.path.exists("{0}/room"):
        os.close(os.open("{0}/taken", os.O_CREAT | os.O_EXCL))
def run(data):
    return data
"""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    import gantline

    (tmp_path / "score.py").write_text(SCRIPT.format(tmp_path))
    gantline.package(script=tmp_path / "score.py", name="large", output=tmp_path / "models" / "large")
    return tmp_path / "models"


def ask(run: Program, client: type[Running], raw: bytes) -> tuple[int, Any]:
    with run.connect() as s:
        s.sendall(raw)
        answer = client.read_answer(s)
    return answer.status, json.loads(answer.body or b"null")


def test_a_load_that_fails_in_one_is_undone_in_all(models: Path, program: Programs, client: type[Running]) -> None:
    with program(models, "--workers", 2, "--model-control", "explicit") as run:
        pids = run.workers()
        status, found = ask(run, client, client.post("/v2/repository/models/large/load", {}))
        assert status == 500 and "failed to load 'large'" in found["error"]
        assert found["error"].endswith("; it was undone in all workers)") and "(this was in worker " in found["error"]
        score = client.post("/models/large/score", {"a": 1}, "Content-Type: application/json")
        assert {ask(run, client, score)[0] for _ in range(20)} == {404}  # as of what is not there
        _, [row] = ask(run, client, client.post("/v2/repository/index", {}))
        assert row["state"] == "UNAVAILABLE"
        (models.parent / "room").touch()
        assert ask(run, client, client.post("/v2/repository/models/large/load", {}))[0] == 200
        assert {ask(run, client, score)[0] for _ in range(20)} == {200}
        assert run.workers() == pids
        run.signal()
        assert run.code() == 0, run.log.read_text()


def test_one_that_differs_is_replaced(models: Path, program: Programs, client: type[Running]) -> None:
    room = models.parent / "room"
    room.touch()
    with program(models, "--workers", 2) as run:
        pids = run.workers()
        room.unlink()
        status, found = ask(run, client, client.post("/v2/repository/models/large/load", {}))
        assert status == 500 and "failed to load 'large'" in found["error"]
        [differs] = [n for n in (1, 2) if f"worker {n} differed, and will be replaced)" in found["error"]]
        room.touch()
        run.wait_for_log(f"worker {differs} is to be replaced: it differs from the others, in which 'load' was done")
        run.wait_for_log(f"worker {differs} ended (exit status 0)")
        end = time.monotonic() + WAIT_S
        while run.workers().get(differs, pids[differs]) == pids[differs]:
            assert time.monotonic() < end
        score = client.post("/models/large/score", {"a": 1}, "Content-Type: application/json")
        assert {ask(run, client, score)[0] for _ in range(20)} == {200}
        assert run.workers()[3 - differs] == pids[3 - differs]
        run.signal()
        assert run.code() == 0, run.log.read_text()
