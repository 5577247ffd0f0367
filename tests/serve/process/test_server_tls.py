"""TLS as clients meet it: gRPC on each front and HTTP, with keys and without, from one process and from several."""

from __future__ import annotations

import json
import shutil
import ssl
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from tests.serve.conftest import Issue
    from tests.serve.process.conftest import Program

    Programs = Callable[..., AbstractContextManager[Program]]

client = pytest.importorskip("tritonclient.grpc")

WAIT_S = 60.0
SECRET = "a-secret-of-a-test-that-nobody-else-knows"
FRONTS = ("http1", "h2")


def grpc_address(run: Program) -> str:
    return f"localhost:{run.ready['grpc'].rpartition(':')[2]}"


def tls(pair: tuple[Path, Path]) -> tuple[object, ...]:
    return ("--tls-certificate", pair[0], "--tls-key", pair[1])


def doubled(address: str, authority: Path, **headers: str) -> list[float]:
    """What Triton's own client gets by TLS, when it trusts `authority` alone."""
    tensor = client.InferInput("x", [1, 3], "FP32")
    tensor.set_data_from_numpy(np.array([[1, 2, 3]], np.float32))
    with client.InferenceServerClient(address, ssl=True, root_certificates=str(authority)) as one:
        found = one.infer("double", [tensor], headers=headers or None, client_timeout=WAIT_S).as_numpy("y")
    return [float(number) for number in found.ravel()]


def status(call: Callable[[], object]) -> str:
    """How a call of Triton's client ended."""
    try:
        call()
    except client.InferenceServerException as e:
        return str(e.status())
    return "OK"


def streamed(address: str, authority: Path) -> None:
    """Many messages on one call, the largest beyond what TLS puts into one record."""
    answers: Queue[Any] = Queue()
    with client.InferenceServerClient(address, ssl=True, root_certificates=str(authority)) as one:
        one.start_stream(lambda result, error: answers.put((result, error)))
        for rows in (1, 1000, 100_000):
            tensor = client.InferInput("x", [rows, 3], "FP32")
            tensor.set_data_from_numpy(np.full((rows, 3), rows, np.float32))
            one.async_stream_infer("double", [tensor])
            result, error = answers.get(timeout=WAIT_S)
            assert error is None and (result.as_numpy("y") == 2 * rows).all()
        one.stop_stream()


def over_http(run: Program, authority: Path, **headers: str) -> list[float]:
    body = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}).encode()
    url = f"https://localhost:{run.port}/v2/models/double/infer"
    context = ssl.create_default_context(cafile=str(authority))
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=WAIT_S, context=context) as answer:
        return list(json.load(answer)["outputs"][0]["data"])


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
@pytest.mark.parametrize("front", FRONTS)
def test_tritons_client(
    zoo: Path, tmp_path: Path, program: Programs, certificate: tuple[Path, Path], issue: Issue,
    front: str, workers: str,
) -> None:  # fmt: skip
    stranger, _ = issue(tmp_path)
    words = ("--front", front, "--workers", workers, *tls(certificate))
    with program(zoo / "double.onnx", *words) as run:
        address = grpc_address(run)
        for _ in range(4 if workers == "2" else 1):  # each a connection of its own
            assert doubled(address, certificate[0]) == over_http(run, certificate[0]) == [2.0, 4.0, 6.0]
        streamed(address, certificate[0])
        with pytest.raises(client.InferenceServerException, match=r"(?i)certificate|handshake|ssl"):
            doubled(address, stranger)
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            over_http(run, stranger)
        with client.InferenceServerClient(address) as plain:  # not TLS at all
            assert status(lambda: plain.is_server_live(client_timeout=WAIT_S)) == "StatusCode.UNAVAILABLE"
        assert doubled(address, certificate[0]) == [2.0, 4.0, 6.0]
        run.signal()
        assert run.code() == 0


@pytest.mark.parametrize("front", FRONTS)
def test_keys(zoo: Path, tmp_path: Path, program: Programs, certificate: tuple[Path, Path], front: str) -> None:
    (tmp_path / "keys.toml").write_text(f'[key.scorer]\nrole = "score"\nprimary = "{SECRET}"\n')
    words = ("--front", front, "--keys", "keys.toml", *tls(certificate))
    with program(zoo / "double.onnx", *words) as run:
        address = grpc_address(run)
        right = {"authorization": f"Bearer {SECRET}"}
        assert doubled(address, certificate[0], **right) == over_http(run, certificate[0], **right) == [2.0, 4.0, 6.0]
        assert status(lambda: doubled(address, certificate[0])) == "StatusCode.UNAUTHENTICATED"
        wrong = {"x-api-key": SECRET + "x"}
        assert status(lambda: doubled(address, certificate[0], **wrong)) == "StatusCode.UNAUTHENTICATED"
        with client.InferenceServerClient(address, ssl=True, root_certificates=str(certificate[0])) as one:
            assert one.is_server_ready(client_timeout=WAIT_S)
            unload = status(lambda: one.unload_model("double", headers=right, client_timeout=WAIT_S))
            assert unload == "StatusCode.PERMISSION_DENIED"
        assert SECRET not in run.log.read_text()


@pytest.mark.parametrize(
    ("front", "workers"),
    [("http1", "1"), *(pytest.param(*two, marks=pytest.mark.slow) for two in (("h2", "1"), ("http1", "2")))],
)
def test_a_certificate_is_renewed_without_a_restart(
    zoo: Path, tmp_path: Path, program: Programs, issue: Issue, front: str, workers: str
) -> None:
    pairs = []
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        pairs.append(issue(tmp_path / name))
    (old, _), (new, key) = pairs
    for file in pairs[0]:
        shutil.copy(file, tmp_path)
    words = ("--front", front, "--workers", workers, *tls((tmp_path / "cert", tmp_path / "key")))
    with program(zoo / "double.onnx", *words) as run:
        address, each = grpc_address(run), int(workers)

        def follows(authority: Path) -> None:
            for _ in range(4 * each):  # each a connection of its own
                assert doubled(address, authority) == over_http(run, authority) == [2.0, 4.0, 6.0]

        with client.InferenceServerClient(address, ssl=True, root_certificates=str(old)) as before:
            assert before.is_server_live(client_timeout=WAIT_S)
            shutil.copy(key, tmp_path)  # of a pair whose other half is still the old one
            run.wait_for_log("the certificate from before stays in force", times=each)
            follows(old)
            shutil.copy(new, tmp_path)
            run.wait_for_log("has changed: new connections get it", times=each)
            follows(new)
            assert before.is_server_live(client_timeout=WAIT_S)  # open connections stay as they are
        with pytest.raises(client.InferenceServerException):
            doubled(address, old)
        assert run.log.read_text().count("stays in force") == each
        run.signal()
        assert run.code() == 0
