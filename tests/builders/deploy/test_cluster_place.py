"""What kubectl says of what was applied, and what is not for `gantline endpoint` to do there."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gantline.builders.deploy import kubernetes, rollout
from gantline.builders.deploy.cluster_place import ClusterPlace, deployment_status, service_status
from gantline.builders.deploy.delivery import deliver
from gantline.builders.deploy.pods import Trouble
from gantline.builders.deploy.recorded import record
from gantline.builders.engine.place import Change, place_of
from gantline.builders.engine.record import Record
from gantline.builders.engine.running import reached

from gantline.errors import Unavailable, Unsupported, UsageError
from gantline.oci.store import Store

from .cluster import Cluster
from .conftest import FULL, Make

NEXT = "registry.example/iris@sha256:" + "6b" * 32


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


def test_why_it_is_not_ready() -> None:
    lasting = Trouble("pod x: ImagePullBackOff: no", True)
    assert deployment_status({}, "iris-blue", lasting).state == "failed"
    assert deployment_status({}, "iris-blue", Trouble("pod x: Unschedulable: 0/1")).state == "starting"
    found = deployment_status({"status": {"readyReplicas": 1}}, "iris-blue", lasting)
    assert found.state == "running" and "1 of 1 ready; pod x: ImagePullBackOff: no; its address" in found.why


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
*) echo '{{"spec": {{"replicas": 1}}, "status": {{"readyReplicas": 1, "replicas": 1, "updatedReplicas": 1,
    "availableReplicas": 1}}}}' ;;
esac
"""


@pytest.mark.skipif(os.name == "nt", reason="programs are shell scripts here")
def test_another_image(endpoint: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the cluster, in the files and on record; after an error it is in none of them."""
    monkeypatch.setattr(rollout, "_LOOK_S", 0.01)
    cluster = Cluster(tmp_path, monkeypatch)
    written, path = kubernetes.write(endpoint(blue={})), tmp_path / "k8s"
    deliver(written, path, False)
    cluster.applied(list(written.documents.values()))
    before = replace(of(endpoint, "kubernetes", tmp_path, {}), where="there")
    before.details.update(namespace="prod", words=["--env", "A=1", "--cpu", "1"])
    place = place_of(before)

    def change(ref: str) -> Change:
        return Change(ref, lambda ref, on: pytest.fail("brought"), {"A": None, "B": "2"})

    after = place.update(before, change(NEXT))
    assert after.deployments[0].image == NEXT and after.details["words"] == ["--cpu", "1", "--env", "B=2"]
    file = path / "02-deployment-iris-blue.yaml"
    assert NEXT in file.read_text() and "name: B" in file.read_text()
    texts = {one.name: one.read_text() for one in path.iterdir()}
    other = kubernetes.write(endpoint(blue={"image": NEXT, "environment": {"B": "2"}}))
    deliver(other, tmp_path / "same", False)
    assert texts == {one.name: one.read_text() for one in (tmp_path / "same").iterdir()}
    with pytest.raises(Unavailable, match="no such image; what was applied before serves again"):
        place.update(after, change("r.example/broken@sha256:" + "7" * 64))
    assert {one.name: one.read_text() for one in path.iterdir()} == texts
    asked = (line for line in cluster.asked if not line.startswith("config "))
    assert {line.partition(" get ")[0].partition(" apply ")[0] for line in asked} == {
        "--context there --namespace prod"
    }
    with pytest.raises(UsageError, match="GANTLINE_DRAIN_S is set by what the description itself says"):
        place.update(after, Change("", lambda ref, on: pytest.fail("brought"), {"GANTLINE_DRAIN_S": "1"}))


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
    with pytest.raises(
        Unsupported, match=r"keys.toml of secret gate in the cluster.*`gantline endpoint keys iris --rot"
    ):
        place.keys(found)
    plain = of(endpoint, "kserve", tmp_path, {})
    with pytest.raises(Unsupported, match="asks nobody for keys"):
        place.keys(plain)
