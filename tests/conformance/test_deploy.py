"""What is written, run by others' readers of Kubernetes' and compose's words, and scored."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import yaml

import gantline
from gantline.client import Client
from gantline.errors import Denied
from tests.engine import container_engine

pytestmark = pytest.mark.container
WAIT_S = 60
NAME = "localhost/iris:1"  # as engines call it
NAME_HERE = "iris:1"  # in this user's store


@dataclass(frozen=True, slots=True)
class Site:
    """An engine that has the image, commands that reach it, and a file of keys with the one key in it."""

    engine: Any
    run: Callable[..., str]
    keys: Path
    key: str
    path: str  # where its programs are
    rows: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, base_tar: Path) -> Iterator[Site]:
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    folder = tmp_path_factory.mktemp("site")
    data, labels = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=1000).fit(data, labels)
    gantline.package(model, name="iris", sample=data.astype(np.float32), output=folder / "iris.pkg")
    house = tmp_path_factory.mktemp("e")  # podman wants a short one
    path = os.pathsep.join((str(house / "bin"), os.environ["PATH"]))
    own = os.environ | {"GANTLINE_HOME": str(folder / "home"), "PATH": path}

    def run(*words: str | Path, **variables: str) -> str:
        command = [sys.executable, "-m", "gantline"] if words[0] in ("build", "deploy", "keys", "endpoint") else []
        done = subprocess.run(
            [*command, *map(str, words)], capture_output=True, text=True, check=False, env=own | variables, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    keys = folder / "keys.toml"
    key = json.loads(run("keys", "new", "--name", "ann", "--keys", keys, "--json"))["key"]
    for tag in (NAME_HERE, NAME):
        run("build", folder / "iris.pkg", "--tag", tag, "--base", base_tar, "--overwrite", "-o", folder / "iris.tar")
    with container_engine(house, "bridge") as engine:
        engine.images.load((folder / "iris.tar").read_bytes())
        own["DOCKER_HOST"] = f"unix://{house / 'engine.sock'}"
        yield Site(engine, run, keys, key, path, data.astype(np.float32), model.predict(data))


@pytest.mark.parametrize("target", ["process", "docker"])
def test_it_runs_here(site: Site, tmp_path: Path, free_port: Callable[[], int], target: str) -> None:
    """From nothing to what is described, again without a change, with one, with another address, and away again."""
    secrets = tmp_path / "secrets"
    for name, data in (("gate/keys.toml", site.keys.read_bytes()), ("bank/token", b"hush\n")):
        (secrets / name).parent.mkdir(parents=True)
        (secrets / name).write_bytes(data)
    port, name = free_port(), f"iris-{target}"
    words = ["--to", target, "--name", name, "--secrets", secrets]
    words += ["--keys-secret", "gate", "--secret", "TOKEN=bank:token"]

    def deploy(*more: str | Path, at: int = port) -> dict[str, Any]:
        waiting = ["--wait-s", str(WAIT_S), "--port", str(at), "--json"]
        told: dict[str, Any] = json.loads(site.run("deploy", NAME_HERE, *words, *waiting, *more))
        return told

    assert deploy("--dry-run")["act"] == "create" and site.run("endpoint", "list", "--json").count(name) == 0
    try:
        assert deploy()["act"] == "create"
        _scored(site, port, lambda: site.run("endpoint", "logs", name))
        assert deploy()["act"] == "unchanged"
        changed = deploy("--env", "GANTLINE_LOG_FORMAT=json")
        assert (changed["act"], changed["changes"]) == ("update", ["variable GANTLINE_LOG_FORMAT"])
        _scored(site, port, lambda: site.run("endpoint", "logs", name))
        moved = free_port()
        with pytest.raises(AssertionError, match="the one before serves again"):
            deploy("--env", "GANTLINE_LOG_FORMAT=json", "--wait-s", "0.05", at=moved)
        _scored(site, port, lambda: site.run("endpoint", "logs", name))
        assert deploy("--env", "GANTLINE_LOG_FORMAT=json", at=moved)["act"] == "replace"
        _scored(site, moved, lambda: site.run("endpoint", "logs", name))
    finally:
        site.run("endpoint", "delete", name)
    assert json.loads(site.run("endpoint", "list", "--json")) == []


def test_podman_plays_the_deployment(site: Site, tmp_path: Path, free_port: Callable[[], int]) -> None:
    words = ["--env", "GANTLINE_LOG_FORMAT=json", "--keys-secret", "gate"]
    site.run("deploy", NAME, "--by-tag", "--to", "kubernetes", *words, "-o", tmp_path / "k8s")
    tree = yaml.safe_load((tmp_path / "k8s" / "02-deployment-iris-main.yaml").read_text())
    port = free_port()
    # the one change: podman publishes container ports, and these may be somebody else's on this machine
    for one, free in zip(tree["spec"]["template"]["spec"]["containers"][0]["ports"], (port, free_port()), strict=True):
        one["hostPort"] = free
    (tmp_path / "played.yaml").write_text(yaml.safe_dump(tree))
    # podman 4 puts a secret's base64 into the file as it stands, so it gets one that is decoded already
    (tmp_path / "gate.yaml").write_text(yaml.safe_dump({"data": {"keys.toml": site.keys.read_text()}}))
    site.run("podman", "secret", "create", "gate", tmp_path / "gate.yaml")
    try:
        site.run("podman", "play", "kube", "--network", "bridge", tmp_path / "played.yaml")
        (name,) = [c.name for c in site.engine.containers.list() if c.name.endswith("-gantline")]
        container = site.engine.containers.get(name)
        _scored(site, port, lambda: str(container.logs().decode()))
        settings_of_it = container.attrs["HostConfig"]
        assert settings_of_it["ReadonlyRootfs"] and container.attrs["Config"]["User"] == "65532:65532"
        assert "GANTLINE_LOG_FORMAT=json" in container.attrs["Config"]["Env"]
    finally:
        site.run("podman", "play", "kube", "--down", tmp_path / "played.yaml")


@pytest.mark.oracle
def test_podman_compose_runs_the_file(
    site: Site, tmp_path: Path, free_port: Callable[[], int], rival: Callable[[str], Path]
) -> None:
    compose = rival("manifests").parent / "podman-compose"
    port = free_port()
    words = ["--instances", "2", "--keys-secret", "gate", "--secret", "TOKEN=bank:token", "--port", str(port)]
    words += ["--name", "iris-compose"]
    file = tmp_path / "compose.yaml"
    # whatever project its user is at otherwise
    own = {
        "PATH": os.pathsep.join((str(_only(compose, tmp_path)), site.path)), "COMPOSE_PROJECT_NAME": "somebodys",
    }  # fmt: skip
    site.run("deploy", NAME, "--by-tag", "--to", "compose", *words, "-o", file, **own)
    secret = tmp_path / "secrets" / "gate" / "keys.toml"
    secret.parent.mkdir(parents=True)
    secret.write_bytes(site.keys.read_bytes())
    with pytest.raises(AssertionError, match="set it to key token of secret bank"):
        site.run(compose, "-f", file, "up", "--detach")
    try:
        site.run(compose, "-f", file, "up", "--detach", TOKEN="hush")
        (container,) = [c for c in site.engine.containers.list() if c.name.startswith("iris-compose")]
        _scored(site, port, lambda: str(container.logs().decode()))
        log = container.logs().decode()
        assert "worker 2" in log, log
        assert container.attrs["HostConfig"]["ReadonlyRootfs"]
        assert "TOKEN=hush" in container.attrs["Config"]["Env"] and "hush" not in file.read_text()
        listed = json.loads(site.run("endpoint", "show", "iris-compose", "--json", **own))
        assert (listed["name"], listed["place"], listed["state"]) == ("iris-compose", "compose", "running")
        assert listed["url"] == f"http://127.0.0.1:{port}" and listed["model"] == "iris"
        assert "worker 2" in site.run("endpoint", "logs", "iris-compose", **own)
        site.run("endpoint", "delete", "iris-compose", **own)
        assert [c.name for c in site.engine.containers.list(all=True) if c.name.startswith("iris-compose")] == []
    finally:
        site.run(compose, "-f", file, "down", TOKEN="hush")


def _only(compose: Path, folder: Path) -> Path:
    """A folder of programs with this compose, and without Docker's."""
    made = folder / "bin"
    made.mkdir()
    (made / "podman-compose").symlink_to(compose)
    (made / "docker").write_text("#!/bin/sh\nexit 1\n")
    (made / "docker").chmod(0o755)
    return made


def _scored(site: Site, port: int, logs: Callable[[], str]) -> None:
    """Ready for probes, which have no key; answers to whoever has one."""
    _ready(port, logs)
    with Client(f"http://127.0.0.1:{port}") as client, pytest.raises(Denied):
        client.infer("iris", site.rows)
    with Client(f"http://127.0.0.1:{port}", key=site.key) as client:
        assert np.array_equal(client.infer("iris", site.rows)["label"], site.labels)


def _ready(port: int, logs: Callable[[], str]) -> None:
    end = time.monotonic() + WAIT_S
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=5):
                return
        except OSError:
            assert time.monotonic() < end, logs()
            time.sleep(0.05)
