"""A step from what was applied last, in the cluster and in words; what does not get ready is led back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from gantline.builders.deploy import kubernetes, rollout
from gantline.builders.deploy.program import kubectl
from gantline.builders.deploy.rollout import Step

from gantline.errors import NotFound, Unavailable

from .cluster import Cluster
from .conftest import FULL, Make

NEXT = "registry.example/iris@sha256:" + "6b" * 32
pytestmark = pytest.mark.skipif(os.name == "nt", reason="programs are shell scripts here")


def test_a_step_is_what_a_description_would_say(endpoint: Make) -> None:
    """Written anew with another image and other variables, every object is the same as after the step."""
    before = kubernetes.write(endpoint(blue=FULL)).documents
    other = {**FULL, "image": NEXT, "environment": {"GANTLINE_ACCESS_LOG": True, "B": "$(x)"}}
    after = kubernetes.write(endpoint(blue=other)).documents
    step = Step("iris-blue", "gantline", NEXT, {"PRICE": None, "B": "$(x)"})
    assert {name: step(tree) for name, tree in before.items()} == after
    assert {name: Step("iris-green", "gantline", NEXT, {})(tree) for name, tree in before.items()} == before


def test_it_serves_or_is_led_back(endpoint: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "_LOOK_S", 0.01)
    cluster, program = Cluster(tmp_path, monkeypatch), kubectl("there", "prod")
    with pytest.raises(NotFound, match="not there, or not applied"):
        rollout.roll(program, Step("iris-blue", "gantline", NEXT, {}), 5.0, lambda: None)
    cluster.applied(list(kubernetes.write(endpoint(blue={})).documents.values()))
    written: list[str] = []
    rollout.roll(program, Step("iris-blue", "gantline", NEXT, {}), 5.0, lambda: written.append("files"))

    def image() -> str:
        tree = cluster.get("Deployment/iris-blue")
        return str(tree["spec"]["template"]["spec"]["containers"][0]["image"])

    assert image() == NEXT and written == ["files"]
    with pytest.raises(Unavailable) as e:
        rollout.roll(program, Step("iris-blue", "gantline", "r.example/broken:1", {}), 5.0, lambda: None)
    assert e.value.message == (
        "deployment iris-blue: pod pod: ImagePullBackOff: no such image; what was applied before serves again"
    )
    assert image() == NEXT
    assert all(line.startswith("--context there --namespace prod ") for line in cluster.asked)


def test_files_that_cannot_be_written(endpoint: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster runs what the files say, in any case."""
    monkeypatch.setattr(rollout, "_LOOK_S", 0.01)
    cluster = Cluster(tmp_path, monkeypatch)
    cluster.applied(list(kubernetes.write(endpoint(blue={})).documents.values()))

    def full() -> None:
        raise Unavailable("k8s: no space left")

    with pytest.raises(Unavailable, match="no space left; what was applied before serves again"):
        rollout.roll(kubectl(""), Step("iris-blue", "gantline", NEXT, {}), 5.0, full)
    tree = cluster.get("Deployment/iris-blue")
    assert tree["spec"]["template"]["spec"]["containers"][0]["image"] != NEXT
