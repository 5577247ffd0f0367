"""Keys as an operator handles them: with several workers, rotated by the command, and nothing secret in the log."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gantline.pb import message

if TYPE_CHECKING:
    from tests.serve.conftest import Running
    from tests.serve.process.conftest import Program

    Programs = Callable[..., AbstractContextManager[Program]]

WAIT_S = 30.0


def keys(folder: Path, *words: str) -> str:
    """What `gantline keys` prints: a secret."""
    command = [sys.executable, "-m", "gantline", "keys", *words, "--keys", str(folder / "keys.toml")]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=WAIT_S).stdout.strip()


def test_every_worker_follows_the_file(zoo: Path, tmp_path: Path, program: Programs, client: type[Running]) -> None:
    first = keys(tmp_path, "new", "--name", "someone")
    words = ("--workers", "2", "--keys", "keys.toml", "--log-level", "debug", "--access-log")
    with program(zoo / "double.onnx", *words) as run:

        def statuses(secret: str) -> list[int]:
            """Of connections of their own: they come to either worker."""
            raw = client.get("/v2", f"Authorization: Bearer {secret}", "Connection: close")
            found = []
            for _ in range(20):
                with run.connect() as s:
                    s.sendall(raw)
                    found += [a.status for a in client.answers(client.read_all(s))]
            return found

        assert set(statuses(first)) == {200} and set(statuses(first + "x")) == {401}
        second = keys(tmp_path, "rotate", "--name", "someone")
        run.wait_for_log("has changed: different: someone", times=2)
        assert set(statuses(first)) == set(statuses(second)) == {200}
        third = keys(tmp_path, "rotate", "--name", "someone", "--revoke")
        run.wait_for_log("has changed: different: someone", times=4)
        assert set(statuses(first)) == set(statuses(second)) == {401} and set(statuses(third)) == {200}
        run.signal()
        assert run.code() == 0
        log = run.log.read_text()
    for number in (1, 2):
        assert f"[worker {number}] gantline.access: keys.toml has changed: different: someone" in log
    assert "denied: " in log and not any(secret in log for secret in (first, second, third))


@pytest.mark.parametrize("secure", [True, False])
def test_the_grpc_port(
    zoo: Path, tmp_path: Path, program: Programs, certificate: tuple[Path, Path], secure: bool
) -> None:
    grpc = pytest.importorskip("grpc")
    scorer, boss = keys(tmp_path, "new", "--name", "scorer"), keys(tmp_path, "new", "--name", "boss", "--role", "admin")
    infer = message("inference.ModelInferRequest")(model_name="double")
    infer.inputs.add(name="x", datatype="FP32", shape=[1, 3])
    infer.raw_input_contents.append(bytes(12))
    unload = message("inference.RepositoryModelUnloadRequest")(model_name="double")
    tls = ("--tls-certificate", certificate[0], "--tls-key", certificate[1]) if secure else ()
    words = ("--keys", "keys.toml", "--log-level", "debug", "--access-log", *tls)
    with program(zoo / "double.onnx", *words) as run:
        address = f"localhost:{run.ready['grpc'].rpartition(':')[2]}"
        if secure:
            channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(certificate[0].read_bytes()))
        else:
            channel = grpc.insecure_channel(address)

        def status(method: str, request: Any, *metadata: tuple[str, str]) -> str:
            call = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
            try:
                call(request.SerializeToString(), metadata=metadata, timeout=WAIT_S)
            except grpc.RpcError as e:
                return str(e.code().name)
            return "OK"

        with channel:
            for wrong in ((), (("authorization", f"Bearer {scorer}x"),), (("x-api-key", "Bearer " + scorer),)):
                assert status("ModelInfer", infer, *wrong) == "UNAUTHENTICATED"
            assert status("ServerReady", message("inference.ServerReadyRequest")()) == "OK"
            for right in (("authorization", f"Bearer {scorer}"), ("x-api-key", scorer), ("x-api-key", boss)):
                assert status("ModelInfer", infer, right) == "OK"
            assert status("RepositoryModelUnload", unload, ("x-api-key", scorer)) == "PERMISSION_DENIED"
            fresh = keys(tmp_path, "rotate", "--name", "scorer", "--revoke")
            run.wait_for_log("has changed: different: scorer")
            assert status("ModelInfer", infer, ("x-api-key", scorer)) == "UNAUTHENTICATED"
            assert status("ModelInfer", infer, ("x-api-key", fresh)) == "OK"
            assert status("RepositoryModelUnload", unload, ("x-api-key", boss)) == "OK"
        run.signal()
        assert run.code() == 0
        log = run.log.read_text()
    assert "denied: " in log and not any(secret in log for secret in (scorer, boss, fresh))


def test_a_keys_file_that_no_worker_can_start_with(zoo: Path, tmp_path: Path) -> None:
    (tmp_path / "keys.toml").write_text('[key.a]\nrole = "score"\nprimary = "too-short"\n')
    for workers in ("1", "2"):
        words = ["serve", str(zoo / "double.onnx"), "--http-port", "0", "--workers", workers, "--keys", "keys.toml"]
        command = [sys.executable, "-m", "gantline", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=WAIT_S)
        assert done.returncode == 2 and done.stdout == "" and "too-short" not in done.stderr
        assert done.stderr.splitlines()[-1] == (
            "gantline serve: error: keys.toml [key.a] primary: a secret has 20 or more visible ASCII characters, "
            "or is written as sha256:..."
        )
