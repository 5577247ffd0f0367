"""Triton itself as the judge: one model.py under one config.pbtxt, in Triton's server and in a package of it."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import gantline
from tests.builders.triton_models import MODEL_PY, PYTHON, python_entry

pytestmark = [pytest.mark.oracle, pytest.mark.slow]
Serving = Callable[..., AbstractContextManager[str]]
RIVALS = Path(__file__).parent.parent.parent / "scripts" / "rivals.py"
WAIT_S = 60.0
# what initialize() got, as an answer
TELLS = """
import json

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.args = args

    def execute(self, requests):
        told = np.array([json.dumps(self.args).encode()], object)
        return [pb_utils.InferenceResponse([pb_utils.Tensor("ARGS", told)]) for _ in requests]
"""
TELLS_CONFIG = """
name: "tells"
backend: "python"
input { name: "X" data_type: TYPE_FP32 dims: [ -1 ] }
output { name: "ARGS" data_type: TYPE_STRING dims: [ 1 ] }
parameters { key: "table" value { string_value: "t.bin" } }
instance_group { kind: KIND_CPU }
"""


class Servers(NamedTuple):
    """Where each answers."""

    theirs: str
    ours: str


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory, serving: Serving, free_port: Callable[[], int]
) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("triton")
    repository = folder / "repository"
    for place in (
        python_entry(repository, MODEL_PY, PYTHON), python_entry(repository, TELLS, TELLS_CONFIG, "tells")
    ):  # fmt: skip
        gantline.package(place, name=place.name, output=folder / "packages" / f"{place.name}.pkg")
    port = free_port()
    command, environment = triton(repository, folder, (port, free_port(), free_port()))
    log = (folder / "triton.log").open("wb")
    server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        until_ready(url, server, folder / "triton.log")
        with serving(folder / "packages") as ours:
            yield Servers(url, ours)
    finally:
        server.terminate()
        server.wait(30)
        log.close()


def triton(repository: Path, folder: Path, ports: tuple[int, int, int]) -> tuple[list[str], dict[str, str]]:
    """Triton's server as its wheel has it: command and environment."""
    spec = importlib.util.spec_from_file_location("rivals", RIVALS)
    assert spec is not None and spec.loader is not None
    rivals = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rivals)
    try:
        python: Path = rivals.ensure("triton")
    except (SystemExit, OSError, subprocess.SubprocessError) as e:
        pytest.skip(f"Triton's wheel cannot be installed here: {e}")
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    site = python.parent.parent / "lib" / f"python{version}" / "site-packages"
    server = site / "pytriton" / "tritonserver"
    backends = folder / "backends"
    shutil.copytree(server / "backends", backends)
    stub = server / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.exists():
        pytest.skip(f"Triton's wheel has no python backend for Python {version}")
    shutil.copy(stub, backends / "python")
    for name in ("numpy", "numpy.libs"):  # its process heeds no PYTHONPATH, and looks here
        (backends / "python" / name).symlink_to(site / name)
    names = ("http", "grpc", "metrics")
    command = [str(server / "bin" / "tritonserver"), f"--model-repository={repository}"]
    command += [f"--backend-directory={backends}", *(f"--{n}-port={p}" for n, p in zip(names, ports, strict=True))]
    libraries = str(site / "nvidia_pytriton.libs")
    return command, {**os.environ, "LD_LIBRARY_PATH": libraries, "PYTHONPATH": str(site)}


def until_ready(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + WAIT_S
    while ask(url, "/v2/health/ready")[0] != 200:
        assert server.poll() is None and time.monotonic() < end, log.read_text("utf-8", "replace")[-2000:]
        time.sleep(0.1)


def ask(url: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Status and JSON of an answer; 0 where nobody listens yet."""
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url + path, data), timeout=30) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text else None
    except urllib.error.HTTPError as e:
        with e:
            return e.code, json.loads(e.read() or b"null")
    except OSError:
        return 0, None


def tensor(name: str, rows: list[list[float]]) -> dict[str, Any]:
    return {"name": name, "shape": [len(rows), len(rows[0])], "datatype": "FP32", "data": rows}


@pytest.mark.parametrize("inputs", [("A",), ("A", "B")])
@pytest.mark.parametrize("rows", [[[1, 2]], [[0.5, -0.0], [3, 4], [100, 7]], [[1, 1]] * 8])
def test_the_same_answers(servers: Servers, inputs: tuple[str, ...], rows: list[list[float]]) -> None:
    body = {"inputs": [tensor(n, rows) for n in inputs]}
    theirs, ours = (ask(url, "/v2/models/adder/infer", body) for url in servers)
    assert theirs[0] == ours[0] == 200
    assert theirs[1]["outputs"] == ours[1]["outputs"]


def test_what_the_model_says_is_wrong_is_an_error_in_both(servers: Servers) -> None:
    body = {"inputs": [tensor("A", [[-1, 2]])]}
    theirs, ours = (ask(url, "/v2/models/adder/infer", body) for url in servers)
    assert theirs[0] == 500 and "A is negative" in theirs[1]["error"]
    assert ours[0] == 500 and "error" in ours[1], (
        "without the script's own words, which may tell what nobody should see"
    )


def test_the_same_metadata(servers: Servers) -> None:
    theirs, ours = (ask(url, "/v2/models/adder")[1] for url in servers)
    assert (theirs["name"], theirs["versions"]) == (ours["name"], ours["versions"])
    for key in ("inputs", "outputs"):  # ours says of an input beside that it is optional
        assert theirs[key] == [{k: t[k] for k in ("name", "datatype", "shape")} for t in ours[key]], key


def test_initialize_gets_the_same(servers: Servers) -> None:
    """But for where the files lie, and what Triton completes."""
    body = {"inputs": [{"name": "X", "shape": [1], "datatype": "FP32", "data": [0]}]}
    theirs, ours = (json.loads(ask(url, "/v2/models/tells/infer", body)[1]["outputs"][0]["data"][0]) for url in servers)
    assert theirs.keys() == ours.keys()
    configs = [json.loads(told.pop("model_config")) for told in (theirs, ours)]
    for told in (theirs, ours):
        assert Path(told.pop("model_repository")).name == "tells"
        told.pop("model_instance_name")  # theirs is numbered by instance and kind
    assert theirs == ours
    for key in ("name", "backend", "max_batch_size", "input", "output", "parameters"):
        assert configs[0][key] == configs[1][key], key
