"""Why a Deployment is not as it is wanted, in the words in which Kubernetes 1.36 says it."""

from __future__ import annotations

from typing import Any

import pytest
from gantline.builders.deploy.pods import Rollout, event_trouble, settled

NAME = "iris-main"


def deployment(**status: Any) -> dict[str, Any]:
    metadata = {"name": NAME, "uid": "d", "generation": 2, "annotations": {"deployment.kubernetes.io/revision": "2"}}
    return {"kind": "Deployment", "metadata": metadata, "spec": {"replicas": 1}, "status": status}


def replicas(revision: str, mark: str) -> dict[str, Any]:
    metadata = {
        "name": f"{NAME}-{mark}", "annotations": {"deployment.kubernetes.io/revision": revision},
        "labels": {"pod-template-hash": mark}, "ownerReferences": [{"uid": "d"}],
    }  # fmt: skip
    return {"kind": "ReplicaSet", "metadata": metadata}


def pod(mark: str, **status: Any) -> dict[str, Any]:
    container = {"name": "gantline", "resources": {"limits": {"memory": "64Mi"}}}
    metadata = {"name": f"{NAME}-{mark}-x", "labels": {"pod-template-hash": mark}}
    return {"kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}, "status": status}


def held(state: dict[str, Any], last: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"containerStatuses": [{"name": "gantline", "ready": False, "state": state, "lastState": last or {}}]}


def rollout(*pods: dict[str, Any], **status: Any) -> Rollout:
    found = Rollout.of([deployment(**status), replicas("1", "old"), replicas("2", "new"), *pods], NAME)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("status", "why", "lasting"),
    [
        (
            held({"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "x"'}}),
            'pod iris-main-new-x: ImagePullBackOff: Back-off pulling image "x"', True,
        ),
        (
            held({"waiting": {"reason": "ErrImagePull", "message": "not found"}}),
            "pod iris-main-new-x: ErrImagePull: not found", False,
        ),
        (
            held(
                {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting"}},
                {"terminated": {"reason": "Error", "exitCode": 2, "message": "starting\nno such model\n"}},
            ),
            "pod iris-main-new-x: CrashLoopBackOff: exit code 2: no such model", True,
        ),
        (
            held(
                {"waiting": {"reason": "CrashLoopBackOff"}},
                {"terminated": {"reason": "OOMKilled", "exitCode": 137}},
            ),
            "pod iris-main-new-x: CrashLoopBackOff: OOMKilled: it took more memory than its limit of 64Mi", True,
        ),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1"}]},
            "pod iris-main-new-x: Unschedulable: 0/1", False,
        ),
    ],
)  # fmt: skip
def test_a_pod(status: dict[str, Any], why: str, lasting: bool) -> None:
    found = rollout(pod("old", **held({"waiting": {"reason": "CrashLoopBackOff"}})), pod("new", **status)).trouble()
    assert found is not None and (found.why, found.lasting) == (why, lasting)


def test_the_end_of_a_long_reason_is_kept() -> None:
    said = f"Failed to pull image {'long/' * 200}: 401 Unauthorized."
    why = str(rollout(pod("new", **held({"waiting": {"reason": "ErrImagePull", "message": said}}))).trouble())
    assert "ErrImagePull: Failed to pull image" in why and "401 Unauthorized" in why
    assert len(why) < 450


def test_no_pod_at_all() -> None:
    refused = {
        "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
        "message": 'pods "x" is forbidden: exceeded quota: small',
    }  # fmt: skip
    found = rollout(conditions=[refused]).trouble()
    assert found is not None and found.lasting
    assert found.why == 'no pod: FailedCreate: pods "x" is forbidden: exceeded quota: small'


def test_events_where_the_pod_says_nothing() -> None:
    found = rollout(pod("new", **held({"waiting": {"reason": "ContainerCreating"}})))
    assert found.trouble() is None

    def event(name: str, message: str, at: str) -> dict[str, Any]:
        of = {"kind": "Pod", "name": name}
        return {
            "involvedObject": of,
            "type": "Warning",
            "reason": "FailedMount",
            "message": message,
            "lastTimestamp": at,
        }

    events = [event("iris-main-new-x", "late", "2026-01-02T00:00:00Z"), event("iris-main-new-x", "early", "2026-01-01")]
    told = event_trouble([*events, event("other", "no", "2027-01-01")], found.names())
    assert told is not None and told.why == "pod iris-main-new-x: FailedMount: late"


def test_until_nothing_else_serves() -> None:
    done = {"observedGeneration": 2, "updatedReplicas": 1, "replicas": 1, "availableReplicas": 1}
    assert settled(deployment(**done))
    for key, other in (("observedGeneration", 1), ("updatedReplicas", 0), ("replicas", 2), ("availableReplicas", 0)):
        assert not settled(deployment(**{**done, key: other}))
    assert Rollout.of([], NAME) is None
