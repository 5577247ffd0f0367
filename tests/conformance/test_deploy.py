"""The Deployment that is written, run by another's reader of Kubernetes' words, and scored."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

import gantline
from gantline.client import Client
from tests.engine import container_engine

pytestmark = pytest.mark.container
WAIT_S = 60
NAME = "localhost/iris:1"


def test_podman_plays_the_deployment(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, base_tar: Path, free_port: Callable[[], int]
) -> None:
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    data, labels = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=1000).fit(data, labels)
    gantline.package(model, name="iris", sample=data.astype(np.float32), output=tmp_path / "iris.pkg")
    own = os.environ | {"GANTLINE_HOME": str(tmp_path / "home")}

    def run(*words: str | Path) -> None:
        command = [sys.executable, "-m", "gantline", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=own, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr

    run("build", tmp_path / "iris.pkg", "--tag", NAME, "--base", base_tar, "-o", tmp_path / "iris.tar")
    run("deploy", NAME, "--by-tag", "--to", "kubernetes", "--env", "GANTLINE_LOG_FORMAT=json", "-o", tmp_path / "k8s")
    tree = yaml.safe_load((tmp_path / "k8s" / "02-deployment-iris-main.yaml").read_text())
    port = free_port()
    # the one change: podman publishes container ports, and these may be somebody else's on this machine
    for one, free in zip(tree["spec"]["template"]["spec"]["containers"][0]["ports"], (port, free_port()), strict=True):
        one["hostPort"] = free
    (tmp_path / "played.yaml").write_text(yaml.safe_dump(tree))
    house = tmp_path_factory.mktemp("e")  # podman wants a short one
    with container_engine(house) as engine:
        engine.images.load((tmp_path / "iris.tar").read_bytes())
        roots = ["--root", str(house / "storage"), "--runroot", str(house / "run")]
        podman = ["podman", *roots, "play", "kube", "--network", "bridge", str(tmp_path / "played.yaml")]
        settings = os.environ | {"CONTAINERS_CONF": str(house / "containers.conf")}
        done = subprocess.run(podman, capture_output=True, text=True, check=False, env=settings, timeout=120)
        try:
            assert done.returncode == 0, done.stdout + done.stderr
            (name,) = [c.name for c in engine.containers.list() if c.name.endswith("-gantline")]
            container = engine.containers.get(name)
            _ready(port, lambda: str(container.logs().decode()))
            with Client(f"http://127.0.0.1:{port}") as client:
                answer = client.infer("iris", data.astype(np.float32))
            assert np.array_equal(answer["label"], model.predict(data))
            settings_of_it = container.attrs["HostConfig"]
            assert settings_of_it["ReadonlyRootfs"] and container.attrs["Config"]["User"] == "65532:65532"
            assert "GANTLINE_LOG_FORMAT=json" in container.attrs["Config"]["Env"]
        finally:
            subprocess.run([*podman[:-3], "--down", podman[-1]], capture_output=True, check=False, env=settings)


def _ready(port: int, logs: Callable[[], str]) -> None:
    end = time.monotonic() + WAIT_S
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < end, logs()
            time.sleep(0.05)
