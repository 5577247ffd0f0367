"""Pods: why a Deployment is not as it is wanted, by what its cluster says of it, of its pods and in events; no I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .documents import Tree

_REVISION = "deployment.kubernetes.io/revision"
_HASH = "pod-template-hash"
# what goes on until somebody changes something; a first failure may be the network's, and is tried again
_LASTING = (
    "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CrashLoopBackOff", "CreateContainerConfigError",
    "CreateContainerError", "RunContainerError",
)  # fmt: skip
_BEGINNING = ("", "ContainerCreating", "PodInitializing")
_MOST = 400  # characters of what somebody else says


@dataclass(frozen=True, slots=True)
class Trouble:
    """`lasting`: waiting does not mend it."""

    why: str
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class Rollout:
    """A Deployment at one moment, with the replica set and the pods that it wants now."""

    deployment: Tree
    replicas: Tree | None
    pods: tuple[Tree, ...]

    @classmethod
    def of(cls, objects: Iterable[Tree], name: str) -> Rollout | None:
        """From all that bears its labels. None where there is no Deployment of that name."""
        found: dict[str, list[Tree]] = {}
        for one in objects:
            found.setdefault(str(one.get("kind")), []).append(one)
        deployment = next((d for d in found.get("Deployment", ()) if d["metadata"]["name"] == name), None)
        if deployment is None:
            return None
        wanted = _annotated(deployment)
        sets = [r for r in found.get("ReplicaSet", ()) if _owned(r, deployment) and _annotated(r) == wanted]
        replicas = sets[0] if sets and wanted else None
        mark = _labels(replicas).get(_HASH) if replicas else None
        pods = (p for p in found.get("Pod", ()) if mark and _labels(p).get(_HASH) == mark)
        return cls(deployment, replicas, tuple(p for p in pods if not p["metadata"].get("deletionTimestamp")))

    @property
    def settled(self) -> bool:
        """Whether all that is wanted serves, and nothing else does any more."""
        return settled(self.deployment)

    def trouble(self) -> Trouble | None:
        """The first that is known without events; what lasts goes first."""
        found = [*_of_conditions(self.deployment), *(t for pod in self.pods for t in _of_pod(pod))]
        return next(iter(sorted(found, key=lambda one: not one.lasting)), None)

    def names(self) -> Iterator[str]:
        """Of those whose events say more, the nearest to a container first."""
        yield from (pod["metadata"]["name"] for pod in self.pods if not _ready(pod))
        yield from (one["metadata"]["name"] for one in (self.replicas, self.deployment) if one is not None)


def settled(deployment: Mapping[str, Any]) -> bool:
    """Whether a Deployment's pods are those that are wanted, and all of them are available."""
    now, wanted = deployment.get("status", {}), _wanted(deployment)
    seen = int(now.get("observedGeneration") or 0) >= int(deployment.get("metadata", {}).get("generation") or 0)
    counts = (int(now.get(key) or 0) for key in ("updatedReplicas", "replicas", "availableReplicas"))
    return seen and all(count == wanted for count in counts)


def gave_up(deployment: Mapping[str, Any]) -> str:
    """Why it gets on no more, where its cluster has said so."""
    conditions = deployment.get("status", {}).get("conditions") or []
    over = (c for c in conditions if (c.get("type"), c.get("status")) == ("Progressing", "False"))
    return next((str(c.get("message", "")) for c in over), "")


def event_trouble(events: Sequence[Mapping[str, Any]], names: Iterable[str]) -> Trouble | None:
    """The last warning about the first of these that has one."""
    for name in names:
        of = [e for e in events if (e.get("involvedObject") or {}).get("name") == name and e.get("type") == "Warning"]
        if of:
            last = max(of, key=_when)
            kind = str(last["involvedObject"].get("kind", "")).lower()
            return Trouble(f"{kind} {name}: {last.get('reason', '')}: {_line(last.get('message'))}")
    return None


def _of_conditions(deployment: Tree) -> Iterator[Trouble]:
    """Pods that nobody lets it make: a quota, pod security, an admission that refuses."""
    for one in deployment.get("status", {}).get("conditions") or []:
        if (one.get("type"), one.get("status")) == ("ReplicaFailure", "True"):
            yield Trouble(f"no pod: {one.get('reason', '')}: {_line(one.get('message'))}", True)
    if why := gave_up(deployment):
        yield Trouble(_line(why), True)


def _of_pod(pod: Tree) -> Iterator[Trouble]:
    name, now = pod["metadata"]["name"], pod.get("status", {})
    if now.get("phase") == "Failed":
        yield Trouble(f"pod {name}: {now.get('reason') or 'Failed'}: {_line(now.get('message'))}")
    for one in now.get("conditions") or []:
        if (one.get("type"), one.get("status")) == ("PodScheduled", "False"):
            yield Trouble(f"pod {name}: {one.get('reason', '')}: {_line(one.get('message'))}")
    for one in (*(now.get("initContainerStatuses") or ()), *(now.get("containerStatuses") or ())):
        if (found := _of_container(pod, one)) is not None:
            yield Trouble(f"pod {name}: {found.why}", found.lasting)


def _of_container(pod: Tree, status: Tree) -> Trouble | None:
    state = status.get("state") or {}
    waiting, ended = state.get("waiting"), state.get("terminated")
    before = (status.get("lastState") or {}).get("terminated")
    if waiting and (reason := str(waiting.get("reason") or "")) not in _BEGINNING:
        how = _end(pod, status["name"], before) if reason == "CrashLoopBackOff" and before else ""
        return Trouble(f"{reason}: {how or _line(waiting.get('message'))}", reason in _LASTING)
    if ended and ended.get("exitCode"):
        return Trouble(_end(pod, status["name"], ended))
    return Trouble(_end(pod, status["name"], before)) if before and not status.get("ready") else None


def _end(pod: Tree, container: str, ended: Tree) -> str:
    """How a container ended: its last words, or the memory that it was to keep to."""
    reason = str(ended.get("reason") or "ended")
    if reason == "OOMKilled":
        limit = next(
            (
                c.get("resources", {}).get("limits", {}).get("memory")
                for c in _containers(pod)
                if c["name"] == container
            ),
            None,
        )
        return f"OOMKilled: it took more memory than {f'its limit of {limit}' if limit else 'its node has'}"
    lines = [line.strip() for line in str(ended.get("message") or "").splitlines() if line.strip()]
    said = f": {_line(lines[-1])}" if lines else ""
    return f"exit code {ended.get('exitCode')}{said}" if reason in ("Error", "Completed") else f"{reason}{said}"


def _containers(pod: Tree) -> Iterator[Tree]:
    spec = pod.get("spec", {})
    yield from (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))


def _ready(pod: Tree) -> bool:
    conditions = pod.get("status", {}).get("conditions") or []
    return any((c.get("type"), c.get("status")) == ("Ready", "True") for c in conditions)


def _wanted(deployment: Mapping[str, Any]) -> int:
    said = deployment.get("spec", {}).get("replicas")
    return 1 if said is None else int(said)


def _labels(tree: Tree) -> Tree:
    return tree["metadata"].get("labels") or {}


def _annotated(tree: Tree) -> str:
    return str((tree["metadata"].get("annotations") or {}).get(_REVISION, ""))


def _owned(tree: Tree, by: Tree) -> bool:
    owners = tree["metadata"].get("ownerReferences") or []
    return any(owner.get("uid") == by["metadata"].get("uid") for owner in owners)


def _when(event: Mapping[str, Any]) -> str:
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    # to the second, since only some of them are told more closely
    return max((str(time)[:19] for time in times if time), default="")


def _line(text: Any) -> str:
    """One line of it; of a long one its begin and its end, where the reason is: images' names are long."""
    plain = re.sub(r"\s+", " ", str(text or "it is not said why")).strip().removesuffix(".")
    return plain if len(plain) <= _MOST else f"{plain[: _MOST // 3]} ... {plain[-_MOST // 2 :]}"
