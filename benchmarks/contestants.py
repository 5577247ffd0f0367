"""The servers of the comparison: for each how it is started, with what settings, and what it is asked in its own words.

`default` is what its documentation starts with; `best` what its documentation advises for many small requests, as far
as two cores allow. onnxruntime runs with one thread a session everywhere. Access logs are off everywhere.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import onnxruntime as ort
from measuring import ROOT, Process, free_port
from workloads import Body, Workload

sys.path.insert(0, str(ROOT / "scripts"))
import rivals

PEERS = ROOT / "benchmarks" / "peers"
INFER = "/inference.GRPCInferenceService/ModelInfer"
Start: TypeAlias = Callable[["Workload", Path], "Running"]
TYPES = {"tensor(float)": "TYPE_FP32", "tensor(int64)": "TYPE_INT64"}


@dataclass(frozen=True, slots=True)
class Running:
    """A server as a client sees it; `grpc`: where it speaks gRPC, if it does; `pausable`: it lives through SIGSTOP."""

    process: Process
    url: str
    body: Body
    grpc: str = ""
    pausable: bool = True


@dataclass(frozen=True, slots=True)
class Contestant:
    """`kind`: gantline, triton, python (a rival in Python) or echo; `only`: the workloads it takes part in."""

    name: str
    kind: str
    start: Start
    settings: str
    only: str = "abcd"


def _python(rival: str) -> Path:
    return rivals.ensure(rival)


def _env(workload: Workload, **more: str) -> dict[str, str]:
    stacks, raw = str(int(workload.stacks)), str(int(workload.binary))
    base = {"ONNX": str(workload.model), "NAME": workload.name, "SHAPE": workload.shape, "STACKS": stacks, "RAW": raw}
    return {**base, "PYTHONPATH": str(PEERS), "OMP_NUM_THREADS": "1", **more}


def gantline(
    workers: int, front: str = "http1", package: Callable[[Workload], Path] = lambda w: w.package, instances: int = 1
) -> Start:
    def start(workload: Workload, work: Path) -> Running:
        http, grpc = free_port(), free_port()
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "gantline",
            "serve",
            package(workload),
            "--http-port",
            str(http),
        ]
        command += ["--grpc-port", str(grpc), "--workers", str(workers), "--threads", "1", "--log-level", "warning"]
        if front != "http1":
            command += ["--front", front]
        if instances > 1:
            command += ["--instances", str(instances)]
        url = f"http://127.0.0.1:{http}/v2/models/{workload.name}/infer"
        return Running(Process(command), url, workload.v2(), f"http://127.0.0.1:{grpc if front == 'http1' else http}")

    return start


def echo(workers: int) -> Start:
    def start(workload: Workload, work: Path) -> Running:
        port = free_port()
        command: list[str | Path] = [sys.executable, ROOT / "benchmarks" / "echo_server.py", str(port), str(workers)]
        return Running(Process(command), f"http://127.0.0.1:{port}/", workload.v2())

    return start


def grpc_echo(kind: str) -> Start:
    def start(workload: Workload, work: Path) -> Running:
        port = free_port()
        process = Process([sys.executable, PEERS / "grpc_echo.py", str(port), kind])
        return Running(process, "", workload.v2(), f"http://127.0.0.1:{port}")

    return start


def triton(batching: bool, instances: int, backend: str = "python") -> Start:
    """`backend`: python, the one of its wheel, or onnx, which is ours in C++ (peers/triton_onnx_backend.cc)."""

    def start(workload: Workload, work: Path) -> Running:
        server, site, backends = triton_backends(work, backend)
        repository = work / f"triton-{backend}-{workload.key}-{batching:d}-{instances}"
        place = repository / workload.name / "1"
        place.mkdir(parents=True)
        if backend == "onnx":
            shutil.copy(workload.model, place / "model.onnx")
        else:
            shutil.copy(PEERS / "triton_model.py", place / "model.py")
        (place.parent / "config.pbtxt").write_text(triton_config(workload, batching, instances, backend))
        http, grpc, metrics = free_port(), free_port(), free_port()
        command: list[str | Path] = [server / "bin" / "tritonserver", f"--model-repository={repository}"]
        command += [f"--backend-directory={backends}", f"--http-port={http}", f"--grpc-port={grpc}"]
        command += [f"--metrics-port={metrics}", "--http-address=127.0.0.1", "--grpc-address=127.0.0.1"]
        libraries = str(site / "nvidia_pytriton.libs")
        process = Process(command, LD_LIBRARY_PATH=libraries, PYTHONPATH=str(site))
        url = f"http://127.0.0.1:{http}/v2/models/{workload.name}/infer"
        # the Python backend gives up on a stub that it has not heard of for a while; idle it takes next to nothing
        return Running(process, url, workload.v2(), f"http://127.0.0.1:{grpc}", pausable=backend != "python")

    return start


def triton_backends(work: Path, backend: str) -> tuple[Path, Path, Path]:
    """The server of the wheel, its site-packages, and a folder with its backends and, if it is asked for, ours."""
    site = _python("triton").parent.parent / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    site = site / "site-packages"
    server = site / "pytriton" / "tritonserver"
    backends = work / "triton-backends"
    if not backends.exists():
        shutil.copytree(server / "backends", backends)
        stub = server / "python_backend_stubs" / f"{sys.version_info[0]}.{sys.version_info[1]}"
        shutil.copy(stub / "triton_python_backend_stub", backends / "python")
    if backend == "onnx":
        triton_onnx_backend(site, backends / backend)
    return server, site, backends


def triton_onnx_backend(site: Path, folder: Path) -> None:
    """Build our backend for Triton into its folder, if it is not there, against the wheels' own libraries."""
    if folder.exists():
        return
    if shutil.which("g++") is None:
        raise SystemExit("g++ is not installed; Debian has it: apt-get install g++")
    (library,) = (site / "onnxruntime" / "capi").glob("libonnxruntime.so.*")
    folder.mkdir()
    # the name that it gives itself, which the wheel does not carry
    (folder / "libonnxruntime.so.1").symlink_to(library)
    command: list[str | Path] = ["g++", "-std=c++17", "-O2", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror"]
    command += [PEERS / "triton_onnx_backend.cc", library, "-Wl,-rpath,$ORIGIN", "-o", folder / "libtriton_onnx.so"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        shutil.rmtree(folder)
        raise SystemExit(f"the backend for Triton could not be built: {done.stderr}")


def triton_config(workload: Workload, batching: bool, instances: int, backend: str) -> str:
    """config.pbtxt of a backend's model. Triton's default is one instance and no batching."""
    session = ort.InferenceSession(str(workload.model), providers=["CPUExecutionProvider"])
    skip = 1 if workload.stacks else 0
    lines = [f'name: "{workload.name}"', f'backend: "{backend}"', f"max_batch_size: {64 * skip}"]
    for kind, specs in (("input", session.get_inputs()), ("output", session.get_outputs())):
        for spec in specs:
            dims = [str(d) for d in spec.shape[skip:]]
            shape = f"dims: [ {', '.join(dims)} ]" if dims else "dims: [ 1 ] reshape: { shape: [ ] }"
            lines.append(f'{kind} [ {{ name: "{spec.name}" data_type: {TYPES[spec.type]} {shape} }} ]')
    settings = (("onnx", workload.model), ("threads", 1)) if backend == "python" else ()
    for key, value in settings:
        lines.append(f'parameters {{ key: "{key}" value: {{ string_value: "{value}" }} }}')
    lines.append(f"instance_group [ {{ count: {instances} kind: KIND_CPU }} ]")
    if batching and workload.stacks:
        lines.append("dynamic_batching { }")
    return "\n".join(lines) + "\n"


def mlserver(best: bool) -> Start:
    def start(workload: Workload, work: Path) -> Running:
        http, grpc, metrics = free_port(), free_port(), free_port()
        folder = work / f"mlserver-{workload.key}-{best:d}"
        folder.mkdir()
        ports = {"host": "127.0.0.1", "http_port": http, "grpc_port": grpc, "metrics_port": metrics}
        settings = {**ports, **({"parallel_workers": 0} if best else {}), "debug": False}
        model: dict[str, object] = {"name": workload.name, "implementation": "mlserver_onnx.Onnx"}
        if best and workload.stacks:
            model |= {"max_batch_size": 64, "max_batch_time": 0.001}
        (folder / "settings.json").write_text(json.dumps(settings))
        (folder / "model-settings.json").write_text(json.dumps(model))
        process = Process([_python("mlserver").parent / "mlserver", "start", folder], **_env(workload))
        url = f"http://127.0.0.1:{http}/v2/models/{workload.name}/infer"
        return Running(process, url, workload.v2(binary=False), f"http://127.0.0.1:{grpc}")

    return start


def kserve(best: bool) -> Start:
    def start(workload: Workload, work: Path) -> Running:
        http, grpc = free_port(), free_port()
        command: list[str | Path] = [
            _python("kserve"),
            PEERS / "kserve_onnx.py",
            "--http_port",
            str(http),
            "--grpc_port",
            str(grpc),
        ]
        command += ["--workers", "2"] if best else []
        url = f"http://127.0.0.1:{http}/v2/models/{workload.name}/infer"
        return Running(Process(command, **_env(workload)), url, workload.v2(), f"http://127.0.0.1:{grpc}")

    return start


def litserve(best: bool) -> Start:
    def start(workload: Workload, work: Path) -> Running:
        port = free_port()
        command: list[str | Path] = [
            _python("litserve"),
            PEERS / "litserve_onnx.py",
            str(port),
            "best" if best else "default",
        ]
        body = workload.base64("data") if workload.binary else workload.rows("data")
        return Running(Process(command, **_env(workload)), f"http://127.0.0.1:{port}/predict", body)

    return start


def bentoml(best: bool) -> Start:
    def start(workload: Workload, work: Path) -> Running:
        port = free_port()
        command: list[str | Path] = [
            _python("bentoml").parent / "bentoml",
            "serve",
            "bentoml_onnx:Onnx",
            "--port",
            str(port),
        ]
        command += ["--host", "127.0.0.1", "--working-dir", PEERS]
        more = {"BATCH": str(int(workload.stacks)), "WORKERS": "2"} if best else {}
        environment = _env(workload, BENTOML_DO_NOT_TRACK="True", BENTOML_HOME=str(work / "bentoml"), **more)
        return Running(Process(command, **environment), f"http://127.0.0.1:{port}/predict", workload.rows("data"))

    return start


def azure(workers: int) -> Start:
    def start(workload: Workload, work: Path) -> Running:
        port = free_port()
        folder = work / f"azure-{workload.key}-{workers}"
        folder.mkdir()
        shutil.copy(workload.model, folder / "model.onnx")
        script = PEERS / ("azure_raw.py" if workload.binary else "azure_score.py")
        command: list[str | Path] = [
            _python("azureml-server").parent / "azmlinfsrv",
            "--entry_script",
            script,
            "--model_dir",
            folder,
        ]
        process = Process([*command, "--port", str(port)], **_env(workload, WORKER_COUNT=str(workers)))
        body = workload.raw() if workload.binary else workload.rows("data")
        return Running(process, f"http://127.0.0.1:{port}/score", body)

    return start


def mlflow(workers: int) -> Start:
    def start(workload: Workload, work: Path) -> Running:
        port = free_port()
        python = _python("mlflow")
        folder = work / f"mlflow-{workload.key}"
        if not folder.exists():
            subprocess.run([python, PEERS / "mlflow_model.py", workload.model, folder], check=True, capture_output=True)
        command: list[str | Path] = [
            python.parent / "mlflow",
            "models",
            "serve",
            "-m",
            folder,
            "--env-manager",
            "local",
        ]
        command += ["-p", str(port), *(["--workers", str(workers)] if workers > 1 else [])]
        path = f"{python.parent}:/usr/bin:/bin"
        return Running(
            Process(command, **_env(workload, PATH=path)),
            f"http://127.0.0.1:{port}/invocations",
            workload.rows("inputs"),
        )

    return start


def ray(best: bool) -> Start:
    def start(workload: Workload, work: Path) -> Running:
        port = free_port()
        command: list[str | Path] = [_python("ray"), PEERS / "ray_onnx.py", str(port), "best" if best else "default"]
        environment = _env(workload, RAY_USAGE_STATS_ENABLED="0", RAY_DISABLE_MEMORY_MONITOR="1")
        body = workload.raw() if workload.binary else workload.rows("data")
        return Running(Process(command, **environment), f"http://127.0.0.1:{port}/", body)

    return start


TRITON = "Triton 2.51 (C++ front, Python backend)"
TRITON_CPP = "Triton 2.51 (C++ front, our C++ onnxruntime backend)"
CONTESTANTS: tuple[Contestant, ...] = (
    Contestant("gantline, 1 worker", "gantline", gantline(1), "--workers 1"),
    Contestant("gantline, 2 workers", "gantline", gantline(2), "--workers 2"),
    Contestant("gantline, 2 instances", "gantline", gantline(1, instances=2), "--workers 1 --instances 2", "c"),
    Contestant("gantline, front h2, 1 worker", "h2", gantline(1, "h2"), "--front h2 --workers 1", "a"),
    Contestant("gantline, front h2, 2 workers", "h2", gantline(2, "h2"), "--front h2 --workers 2", "a"),
    Contestant("uvicorn raw-ASGI echo, 1 worker", "echo", echo(1), "uvloop, httptools", "a"),
    Contestant("uvicorn raw-ASGI echo, 2 workers", "echo", echo(2), "uvloop, httptools, workers=2", "a"),
    Contestant("grpc.aio echo", "grpc-echo", grpc_echo("aio"), "one process", "a"),
    Contestant("grpcio sync echo", "grpc-echo", grpc_echo("sync"), "one process, 10 threads", "a"),
    Contestant(f"{TRITON}, default", "triton", triton(False, 1), "one instance, no batching", "a"),
    Contestant(f"{TRITON}, batching", "triton", triton(True, 1), "dynamic_batching, one instance"),
    Contestant(f"{TRITON}, batching, 2 instances", "triton", triton(True, 2), "dynamic_batching, two instances"),
    Contestant(f"{TRITON_CPP}, default", "triton-cpp", triton(False, 1, "onnx"), "one instance, no batching", "a"),
    Contestant(f"{TRITON_CPP}, batching", "triton-cpp", triton(True, 1, "onnx"), "dynamic_batching, one instance"),
    Contestant(
        f"{TRITON_CPP}, batching, 2 instances", "triton-cpp", triton(True, 2, "onnx"), "dynamic_batching, two instances"
    ),
    Contestant("MLServer 1.7.1, default", "python", mlserver(False), "parallel_workers 1", "a"),
    Contestant("MLServer 1.7.1, best", "python", mlserver(True), "parallel_workers 0, adaptive batching of 64, 1 ms"),
    Contestant("KServe 0.21.0, default", "python", kserve(False), "one worker", "a"),
    Contestant("KServe 0.21.0, best", "python", kserve(True), "--workers 2"),
    Contestant("LitServe 0.2.19, default", "python", litserve(False), "one worker, no batching", "a"),
    Contestant("LitServe 0.2.19, best", "python", litserve(True), "max_batch_size 64, batch_timeout 1 ms, fast_queue"),
    Contestant("BentoML 1.4.40, default", "python", bentoml(False), "one worker, no batching", "a"),
    Contestant("BentoML 1.4.40, best", "python", bentoml(True), "batchable, two workers"),
    Contestant("azureml-inference-server-http 1.5.1, default", "python", azure(1), "one worker", "a"),
    Contestant("azureml-inference-server-http 1.5.1, best", "python", azure(2), "WORKER_COUNT=2"),
    Contestant("MLflow 3.17.2, default", "python", mlflow(1), "one worker", "a"),
    Contestant("MLflow 3.17.2, best", "python", mlflow(2), "--workers 2"),
    Contestant("Ray Serve 2.60.0, default", "python", ray(False), "one replica", "a"),
    Contestant("Ray Serve 2.60.0, best", "python", ray(True), "@serve.batch of 64, max_ongoing_requests 256"),
)
