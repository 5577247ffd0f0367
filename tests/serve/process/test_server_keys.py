"""Keys as an operator handles them: with several workers, rotated by the command, and nothing secret in the log."""

from __future__ import annotations

import socket
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

WAIT_S = 60.0


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


@pytest.mark.parametrize("secure", [True, pytest.param(False, marks=pytest.mark.slow)])
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


@pytest.mark.slow
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


@pytest.mark.parametrize("front", ["http1", "h2"])
def test_a_message_without_a_key_is_not_taken_in(zoo: Path, tmp_path: Path, program: Programs, front: str) -> None:
    """Frame by frame: the head alone is answered, and who goes on sending finds nobody who reads."""
    hpack, frames = pytest.importorskip("hpack"), pytest.importorskip("hyperframe.frame")
    scorer = keys(tmp_path, "new", "--name", "scorer")
    with program(zoo / "double.onnx", "--keys", "keys.toml", "--front", front) as run:
        port = int(run.ready["grpc"].rpartition(":")[2])

        def status(service: str, method: str, *more: tuple[str, str]) -> str:
            path = f"/{service}/{method}"
            with socket.create_connection(("127.0.0.1", port), WAIT_S) as s:
                fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost")]
                block = hpack.Encoder().encode(
                    [*fields, ("content-type", "application/grpc"), ("te", "trailers"), *more]
                )
                head = frames.HeadersFrame(1, block, flags=["END_HEADERS"])  # and no end: a message is to come
                s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frames.SettingsFrame(0).serialize() + head.serialize())
                decoder, received = hpack.Decoder(), b""
                while piece := s.recv(1 << 16):
                    received += piece
                    while len(received) >= 9:
                        frame, size = frames.Frame.parse_frame_header(memoryview(received[:9]))
                        if len(received) < 9 + size:
                            break
                        frame.parse_body(memoryview(received[9 : 9 + size]))
                        received = received[9 + size :]
                        if isinstance(frame, frames.HeadersFrame):
                            found = dict(decoder.decode(frame.data))
                            if "grpc-status" in found:
                                return str(found["grpc-status"])
                raise AssertionError("closed without a status")

        for method in ("ModelInfer", "ModelStreamInfer", "RepositoryModelLoad", "ModelConfig"):
            for wrong in ((), (("authorization", f"Bearer {scorer}x"),)):
                assert status("inference.GRPCInferenceService", method, *wrong) == "16"
        right = ("x-api-key", scorer)
        for method in ("RepositoryModelLoad", "RepositoryModelUnload", "SystemSharedMemoryRegister", "LogSettings"):
            assert status("inference.GRPCInferenceService", method, right) == "7"
        run.signal()
        assert run.code() == 0
        log = run.log.read_text()
    assert "denied: 127.0.0.1:" in log and scorer not in log
