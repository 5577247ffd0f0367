"""What kubectl says of what was applied, and what is not for `gantline endpoint` to do there."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gantline.builders.deploy.cluster_place import ClusterPlace, deployment_status, service_status
from gantline.builders.deploy.recorded import record
from gantline.builders.engine.place import Change, place_of
from gantline.builders.engine.record import Record
from gantline.builders.engine.running import reached

from gantline.errors import Unavailable, Unsupported
from gantline.oci.store import Store

from .conftest import FULL, Make


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def of(endpoint: Make, target: str, folder: Path, said: dict[str, Any]) -> Record:
    return record(endpoint(blue=said), target, folder / "k8s", folder / "k8s" / "1.yaml", Store(folder / "store"))


@pytest.mark.parametrize(
    ("now", "state", "why"),
    [
        ({}, "starting", "0 of 2 ready"),
        ({"readyReplicas": 1}, "running", "1 of 2 ready"),
        (
            {"conditions": [{"type": "Progressing", "status": "False", "message": "exceeded its progress deadline"}]},
            "failed", "exceeded its progress deadline",
        ),
    ],
)  # fmt: skip
def test_a_deployment(now: dict[str, Any], state: str, why: str) -> None:
    found = deployment_status({"spec": {"replicas": 2}, "status": now}, "iris-blue")
    assert found.state == state and why in found.why and not found.url
    if state != "failed":
        assert "`kubectl port-forward deployment/iris-blue 8000`" in found.why


def test_an_inference_service() -> None:
    assert service_status({}).state == "starting"
    waiting = {"status": {"conditions": [{"type": "Ready", "status": "False", "message": "Revision is not ready"}]}}
    assert service_status(waiting).why == "Revision is not ready"
    told = {"status": {"url": "http://iris.default.example", "conditions": [{"type": "Ready", "status": "True"}]}}
    assert service_status(told).url == "http://iris.default.example"


_KUBECTL = """#!/bin/sh
echo "$@" >> {log}
case "$*" in
*port-forward*) echo "Forwarding from 127.0.0.1:40123 -> 8000"; exec sleep 600 ;;
*) echo '{{"spec": {{"replicas": 1}}, "status": {{"readyReplicas": 1}}}}' ;;
esac
"""


@pytest.mark.skipif(os.name == "nt", reason="programs are shell scripts here")
def test_a_port_is_forwarded(endpoint: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For as long as the block lasts, in the namespace and context that are on record."""
    program, log = tmp_path / "bin" / "kubectl", tmp_path / "log"
    program.parent.mkdir()
    program.write_text(_KUBECTL.format(log=log))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join((str(program.parent), os.environ["PATH"])))
    found = replace(of(endpoint, "kubernetes", tmp_path, {}), where="there")
    found.details["namespace"] = "prod"
    with reached(found) as one:
        assert one.url == "http://127.0.0.1:40123"
    asked, forwarded = log.read_text().splitlines()[-2:]
    assert asked.startswith("--context there --namespace prod get deployment iris-blue")
    assert forwarded.endswith("deployment/iris-blue :8000")
    program.write_text("#!/bin/sh\necho error: pod is not running >&2\nexit 1\n")
    with pytest.raises(Unavailable, match=r"exit code 1: error: pod is not running"), reached(found):
        pytest.fail("reached")


@pytest.mark.usefixtures("nowhere")
def test_without_kubectl(endpoint: Make, tmp_path: Path) -> None:
    found = of(endpoint, "kubernetes", tmp_path, {})
    place = place_of(found)
    assert isinstance(place, ClusterPlace)
    status = place.status(found)
    assert status.state == "unreachable" and "kubectl: not installed here" in status.why
    with pytest.raises(Unsupported, match="kubectl: not installed here"):
        place.delete(found)


@pytest.mark.usefixtures("nowhere")
def test_what_others_do(endpoint: Make, tmp_path: Path) -> None:
    found = of(endpoint, "kserve", tmp_path, FULL)
    place = place_of(found)
    with pytest.raises(Unsupported, match=r"--to kserve --overwrite -o .*k8s`, then `kubectl apply -f .*k8s`"):
        place.update(found, Change("iris:2", lambda ref, on: pytest.fail("brought")))
    with pytest.raises(Unsupported, match=r"`kubectl create secret generic gate --from-file=keys.toml "):
        place.keys(found)
    plain = of(endpoint, "kserve", tmp_path, {})
    with pytest.raises(Unsupported, match="asks nobody for keys"):
        place.keys(plain)
