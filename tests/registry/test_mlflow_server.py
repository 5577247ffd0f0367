"""MLflow itself writes a run into each of its stores; what is read without it is what it reads itself."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gantline.errors import BadArtefact, Denied, GantlineError, NotFound, Unreachable, UsageError
from gantline.registry.mlflow_server import read_server
from gantline.registry.training import read_training

ROOT = Path(__file__).resolve().parents[2]
TRAIN = """
import json, sys, warnings
warnings.simplefilter("ignore")
import mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_experiment("flowers")
with mlflow.start_run(run_name="calm-bear", tags={"team": "blue", "mlflow.source.git.commit": "c0ffee"}) as run:
    mlflow.log_params({"C": 1.0, "nested/depth": 3, "text": "ä b"})
    for step, value in enumerate([0.5, 0.9, 0.7]):
        mlflow.log_metric("accuracy", value, step=step)
    mlflow.log_metric("late", 2.0, step=5)
    mlflow.log_metric("late", 1.0, step=3)
    mlflow.log_metric("bad", float("nan"))
    mlflow.log_input(mlflow.data.from_pandas(pd.DataFrame({"a": [1.0, 2.0]}), name="iris"), context="training")
kept = mlflow.MlflowClient().get_run(run.info.run_id)
print(json.dumps({
    "run": run.info.run_id, "params": kept.data.params, "metrics": {k: str(v) for k, v in kept.data.metrics.items()},
    "started": kept.info.start_time, "ended": kept.info.end_time, "status": kept.info.status,
    "name": kept.info.run_name,
    "datasets": [[i.dataset.name, i.dataset.digest] for i in kept.inputs.dataset_inputs],
    "artifacts": kept.info.artifact_uri, "tags": kept.data.tags,
}))
"""


@pytest.fixture(scope="module")
def python() -> Path:
    spec = importlib.util.spec_from_file_location("rivals", ROOT / "scripts" / "rivals.py")
    assert spec and spec.loader
    rivals = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rivals)
    return Path(rivals.ensure("mlflow"))


def trained(python: Path, uri: str, folder: Path) -> dict[str, Any]:
    environment = {**os.environ, "MLFLOW_ALLOW_FILE_STORE": "true", "GIT_PYTHON_REFRESH": "quiet"}
    words = [str(python), "-c", TRAIN, uri]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.fixture
def server(python: Path, tmp_path: Path, free_port: Callable[[], int]) -> Iterator[str]:
    port = free_port()
    words = [
        str(python),
        "-m",
        "mlflow",
        "server",
        "--port",
        str(port),
        "--backend-store-uri",
        f"sqlite:///{tmp_path}/s.db",
    ]
    words += ["--artifacts-destination", str(tmp_path / "a"), "--workers", "1"]
    log = tmp_path / "server.log"
    with log.open("w") as out, subprocess.Popen(
        words, cwd=tmp_path, stdout=out, stderr=out, start_new_session=True
    ) as process:  # fmt: skip
        try:
            end = time.monotonic() + 120
            while time.monotonic() < end and process.poll() is None:
                with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                    break
                threading.Event().wait(0.2)
            else:
                pytest.fail(log.read_text())
            yield f"http://127.0.0.1:{port}"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, 9)


def check(told: dict[str, Any], uri: str) -> None:
    found = read_training(told["run"], uri)
    assert (found["params"], found["name"], found["experiment"]) == (told["params"], told["name"], "flowers")
    assert {k: str(v) for k, v in found["metrics"].items()} == told["metrics"]
    assert [[d["name"], d["digest"]] for d in found["datasets"]] == told["datasets"]
    assert (found["git_commit"], found["tags"]) == ("c0ffee", {"team": "blue"})
    assert (found["status"], found["artifacts"], found["source"]) == (
        told["status"], told["artifacts"], told["tags"]["mlflow.source.name"],
    )  # fmt: skip
    assert found["metrics"]["late"] == 2.0 and found["metrics"]["bad"] == "nan"
    with pytest.raises(NotFound, match="has no run"):
        read_training("0" * 32, uri)


@pytest.mark.slow
@pytest.mark.oracle
@pytest.mark.parametrize("uri", ["file:{}/mlruns", "sqlite:///{}/mlflow.db"])
def test_what_mlflow_wrote(python: Path, tmp_path: Path, uri: str) -> None:
    uri = uri.format(tmp_path)
    check(trained(python, uri, tmp_path), uri)


@pytest.mark.slow
@pytest.mark.oracle
def test_what_its_server_answers(python: Path, server: str, tmp_path: Path) -> None:
    check(trained(python, server, tmp_path), server)


@pytest.mark.parametrize(
    ("status", "body", "kind", "why"),
    [
        (200, b"<html>", BadArtefact, "did not answer as MLflow does"),
        (200, b'{"run": 7}', BadArtefact, "did not answer as MLflow does"),
        (200, b"[" * 100_000, BadArtefact, "did not answer as MLflow does"),
        (404, b"<html>", Unreachable, "answered 404"),
        (401, b"", Denied, "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"),
        (500, b"", Unreachable, "answered 500"),
    ],
)
def test_servers_that_are_something_else(status: int, body: bytes, kind: type[GantlineError], why: str) -> None:
    with answering({"": (status, {}, body)}) as (url, asked), pytest.raises(kind, match=why) as caught:
        read_server(f"http://ann:secret@{url}/mlflow/", "r")
    assert "secret" not in caught.value.message and "\n" not in caught.value.message
    assert asked == [("/mlflow/api/2.0/mlflow/runs/get?run_id=r", "Basic YW5uOnNlY3JldA==")]


Answers = dict[str, tuple[int, dict[str, str], bytes]]


@contextmanager
def answering(answers: Answers) -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """A server that answers by what a path begins with; its host, and what it was asked with which credentials."""
    asked: list[tuple[str, str | None]] = []

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Authorization"]))
            status, headers, body = next(a for begin, a in answers.items() if begin in self.path)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as other:
        thread = threading.Thread(target=other.serve_forever, args=[0.01])
        thread.start()
        try:
            yield f"127.0.0.1:{other.server_port}", asked
        finally:
            other.shutdown()
            thread.join()


@pytest.mark.parametrize(
    "data",
    [
        {"params": [{"value": "1"}]}, {"params": 7}, {"metrics": [{"key": "a"}]},
        {"metrics": [{"key": "a", "value": "x"}]}, {"metrics": ["a"]}, [],
    ],
)  # fmt: skip
def test_a_run_of_which_pieces_are_missing(data: Any) -> None:
    body = json.dumps({"run": {"info": {"experiment_id": "0"}, "data": data, "inputs": {"dataset_inputs": [{}]}}})
    answers: Answers = {"runs/get": (200, {}, body.encode()), "experiments/get": (200, {}, b"{}")}
    with answering(answers) as (host, _), pytest.raises(BadArtefact, match="did not answer as MLflow does"):
        read_server(f"http://{host}", "r")


def test_credentials_do_not_follow_to_another_host() -> None:
    body = json.dumps({"run": {"info": {"run_name": "calm-bear"}}}).encode()
    found: Answers = {"": (200, {}, body)}
    with answering(found) as (other, seen):
        port = other.partition(":")[2]
        moved: Answers = {"": (302, {"Location": f"http://localhost:{port}/else"}, b"")}
        with answering(moved) as (host, asked):
            run = read_server(f"http://ann:secret@{host}", "r")
    assert run is not None and run.name == "calm-bear"
    assert {who for _, who in asked} == {"Basic YW5uOnNlY3JldA=="} and {who for _, who in seen} == {None}


def test_what_is_no_http_and_no_url() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def talk() -> None:
            with listener.accept()[0] as connection:
                connection.recv(1 << 16)
                connection.sendall(b"SSH-2.0-x\r\n")

        thread = threading.Thread(target=talk)
        thread.start()
        with pytest.raises(Unreachable, match="does not speak HTTP"):
            read_server(f"http://127.0.0.1:{listener.getsockname()[1]}", "r")
        thread.join()
    with pytest.raises(UsageError, match="expected http://HOST"):
        read_server("http://ann:secret@[::1", "r")


def test_nobody_there(free_port: Callable[[], int]) -> None:
    with pytest.raises(Unreachable, match="does not answer"):
        read_server(f"http://127.0.0.1:{free_port()}", "r")
