"""`gantline run` and `gantline endpoint` with a real engine, on an image that was built without one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine import container_engine

pytestmark = pytest.mark.container
Typed = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with container_engine(tmp_path_factory.mktemp("engine"), "bridge") as client:
        yield client


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory, engine: Any) -> Typed:
    """`typed("run", ...)`: what a command of ours says that finds the engine by DOCKER_HOST."""
    home = tmp_path_factory.mktemp("home")
    socket = engine.api.base_url.removeprefix("http+unix://").replace("%2F", "/")
    own = os.environ | {"GANTLINE_HOME": str(home), "DOCKER_HOST": f"unix://{_socket(engine, socket)}"}

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "gantline", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=own, timeout=300)

    return run


def _socket(engine: Any, told: str) -> str:
    adapter = engine.api.get_adapter(engine.api.base_url)
    return str(getattr(adapter, "socket_path", told))


def test_from_package_to_endpoint_and_away(
    typed: Typed, engine: Any, iris_package: Path, base_tar: Path, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    words = ("--network", "host", "--detach", "--json")
    done = typed("run", iris_package, "--base", base_tar, "--port", free_port(), "--grpc-port", 0, "--keys", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["state"] == "running" and not found["details"]["image_reused"]
    (container,) = engine.containers.list()
    host = container.attrs["HostConfig"]
    assert host["ReadonlyRootfs"] and container.attrs["Config"]["User"] == "65532:65532"
    assert container.exec_run(["/opt/gantline/env/bin/python", "-c", "print(open('/proc/self/status').read())"]).output
    rows = tmp_path / "rows.csv"
    rows.write_text("5.1,3.5,1.4,0.2\n6.7,3.0,5.2,2.3\n")
    name = found["name"]
    asked = typed("endpoint", "invoke", name, "--input", rows, "--no-header", "--json")
    assert asked.returncode == 0, asked.stderr
    assert len(json.loads(asked.stdout)["outputs"][0]["data"]) == 2
    assert [one["url"] for one in json.loads(typed("endpoint", "list", "--json").stdout)] == [found["url"]]
    shown = json.loads(typed("endpoint", "show", name, "--json").stdout)
    assert shown["details"]["container"] == found["details"]["container"] == container.short_id
    assert "golden sample" in typed("endpoint", "logs", name).stdout

    taken = typed("run", found["image"], *words)
    assert taken.returncode == 2 and f"`gantline endpoint delete {name}`" in json.loads(taken.stdout)["error"]
    _rotated(typed, name, found["url"])
    _changed(typed, engine, name, found)
    second = typed("run", found["image"], "--name", "second", "--port", 0, "--detach", "--json")
    assert second.returncode == 0 and json.loads(second.stdout)["details"]["image_reused"], second.stderr
    _changed_behind_its_ports(typed, engine, json.loads(second.stdout)["url"])
    for one in (name, "second"):
        assert typed("endpoint", "delete", one).returncode == 0
    assert engine.containers.list(all=True) == []
    gone = typed("endpoint", "show", name, "--json")
    assert gone.returncode == 3 and "there is none" in json.loads(gone.stdout)["error"]


def _status(url: str, secret: str) -> int:
    asked = urllib.request.Request(f"{url}/v2/models/iris", headers={"x-api-key": secret})
    try:
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as e:
        e.close()
        return e.code


def _rotated(typed: Typed, name: str, url: str) -> None:
    """One is made anew, and clients with the other notice nothing."""
    before = json.loads(typed("endpoint", "keys", name, "--show", "--json").stdout)
    told = json.loads(typed("endpoint", "keys", name, "--rotate", "primary", "--json").stdout)
    new = told["primary"]
    assert told["in_force"], "who scripts this uses it at once"
    assert [_status(url, key) for key in (new, before["secondary"], before["primary"], "")] == [200, 200, 401, 401]


def _changed(typed: Typed, engine: Any, name: str, found: dict[str, Any]) -> None:
    """Another container at the same address; one that fails changes nothing."""
    failed = typed("endpoint", "update", name, "--env", "GANTLINE_WORKERS=many", "--json")
    assert failed.returncode == 1 and "GANTLINE_WORKERS" in json.loads(failed.stdout)["error"]
    assert [one.short_id for one in engine.containers.list(all=True)] == [found["details"]["container"]]
    done = typed("endpoint", "update", name, "--env", "GANTLINE_LOG_LEVEL=debug", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    after = json.loads(done.stdout)
    (container,) = engine.containers.list(all=True)
    assert (
        container.name == name and container.short_id == after["details"]["container"] != found["details"]["container"]
    )
    assert after["url"] == found["url"] and "GANTLINE_LOG_LEVEL=debug" in container.attrs["Config"]["Env"]


def _changed_behind_its_ports(typed: Typed, engine: Any, url: str) -> None:
    """Where the engine publishes the ports, too, no request is lost; without what holds them it is not called running.

    What an update that was killed at its end has left is taken over by the next one.
    """
    held = engine.containers.get("second.ports").id
    failures: list[BaseException] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                assert _status(url, "") == 200
            except BaseException as e:
                failures.append(e)
            done.wait(0.005)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        engine.containers.get("second").rename("second.next")
        changed = typed("endpoint", "update", "second", "--env", "GANTLINE_LOG_LEVEL=debug", "--json")
        again = typed("endpoint", "update", "second", "--env", "GANTLINE_LOG_LEVEL=info", "--json")
    finally:
        done.set()
        asking.join()
    assert not failures and changed.returncode == again.returncode == 0, (failures[:1], changed.stdout, again.stdout)
    assert json.loads(again.stdout)["url"] == url and engine.containers.get("second.ports").id == held
    engine.containers.get("second.ports").kill()
    found = json.loads(typed("endpoint", "show", "second", "--json").stdout)
    assert found["state"] == "cut off" and not found["url"]
    refused = typed("endpoint", "update", "second", "--env", "A=b", "--json")
    assert refused.returncode == 2 and "is cut off" in json.loads(refused.stdout)["error"]


def test_what_does_not_start_says_why_and_leaves_nothing(
    typed: Typed, engine: Any, iris_package: Path, base_tar: Path
) -> None:
    words = ("--base", base_tar, "--port", 0, "--network", "host", "--json")
    done = typed("run", iris_package, *words, "--env", "GANTLINE_WORKERS=many")
    assert done.returncode == 1
    error = json.loads(done.stdout)["error"]
    assert "ended before it was ready" in error and "GANTLINE_WORKERS" in error
    assert engine.containers.list(all=True) == []


def test_build_loads_it(typed: Typed, engine: Any, iris_package: Path, base_tar: Path) -> None:
    words = ("build", iris_package, "--base", base_tar, "--tag", "loaded:1", "--target", "docker", "--json")
    first, again = (json.loads(typed(*words).stdout) for _ in range(2))
    assert engine.images.get("loaded:1").id == first["images"][0]["id"] == first["loaded"]["id"]
    assert again["loaded"]["reused"]
    elsewhere = typed(*words, "--platform", "linux/s390x")
    assert elsewhere.returncode == 2 and "pass --platform linux/" in json.loads(elsewhere.stdout)["error"]
