"""Container: one deployment's container in Kubernetes' words, for all that start pods."""

from __future__ import annotations

import re

from gantline.builders.image import places
from gantline.builders.image.settings import GRPC, HTTP

from .description import Deployment, Probe, Resources, Site
from .documents import Tree

LIVE, READY = "/v2/health/live", "/v2/health/ready"
KEYS_FOLDER = "/run/gantline/keys"
_GPU = "nvidia.com/gpu"
_REFERENCE = re.compile(r"\$(?=[$(])")  # where Kubernetes would read a reference, or one `$` for two


def container(deployment: Deployment, name: str) -> Tree:
    """As its image is meant to run: nobody in particular, nothing writable but /tmp, no way to more rights."""
    mounts = [{"name": "tmp", "mountPath": "/tmp"}]
    if deployment.keys:
        mounts.append({"name": "keys", "mountPath": KEYS_FOLDER, "readOnly": True})  # type: ignore[dict-item]
    return {
        "name": name,
        "image": deployment.image.name,
        "imagePullPolicy": "IfNotPresent",
        "env": environment(deployment),
        "resources": resources(deployment.resources),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": places.USER,
            "runAsGroup": places.USER,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": mounts,
        # why it ended is then with the pod, for whoever asks it and may not read its log
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def ports() -> list[Tree]:
    """HTTP and gRPC."""
    return [
        {"name": "http", "containerPort": HTTP, "protocol": "TCP"},
        {"name": "grpc", "containerPort": GRPC, "protocol": "TCP"},
    ]


def volumes(deployment: Deployment) -> list[Tree]:
    """What the mounts of `container` name."""
    found: list[Tree] = [{"name": "tmp", "emptyDir": {"sizeLimit": deployment.resources.tmp}}]
    if deployment.keys:
        items = [{"key": deployment.keys.key, "path": deployment.keys.key}]
        # said, since podman 4 reads it without looking whether it is
        of = {"secretName": deployment.keys.secret, "items": items, "optional": False}
        found.append({"name": "keys", "secret": of})
    return found


def pulling(site: Site) -> Tree:
    """What a pod is told of the registry that its image is in."""
    return {"imagePullSecrets": [{"name": site.pull_secret}]} if site.pull_secret else {}


def placed(site: Site) -> Tree:
    """What an object's metadata say of where it is."""
    return {"namespace": site.namespace} if site.namespace else {}


def scraped(deployment: Deployment) -> Tree:
    """Annotations by which a Prometheus finds the metrics, where it may read them without a key."""
    said = deployment.environment
    open_to_all = deployment.keys is None or "metrics" in said.get("GANTLINE_KEYLESS", "").split("+")
    if not open_to_all or said.get("GANTLINE_NO_METRICS", "").lower() in ("true", "1", "yes", "on"):
        return {}
    words = {"scrape": "true", "port": str(HTTP), "path": "/metrics"}
    return {"annotations": {f"prometheus.io/{word}": value for word, value in words.items()}}


def environment(deployment: Deployment) -> list[Tree]:
    """Variables, secret ones by reference; `$(NAME)` and `$$` in a value stay what they are."""
    plain = deployment.variables
    if deployment.keys:
        plain |= {"GANTLINE_KEYS": f"{KEYS_FOLDER}/{deployment.keys.key}", "GANTLINE_NO_AUTH": "false"}
    found = [variable(*one) for one in sorted(plain.items())]
    for name, of in sorted(deployment.secrets.items()):
        found.append({"name": name, "valueFrom": {"secretKeyRef": {"name": of.secret, "key": of.key}}})
    return found


def variable(name: str, value: str) -> Tree:
    """A variable that has this very value."""
    return {"name": name, "value": _REFERENCE.sub("$$", value)}


def resources(wanted: Resources) -> Tree:
    """Requests, and limits where there are."""
    limits: Tree = {}
    if wanted.cpu_limit:
        limits["cpu"] = wanted.cpu_limit
    if wanted.memory_limit:
        limits["memory"] = wanted.memory_limit
    if wanted.gpus:
        limits[_GPU] = str(wanted.gpus)
    requests: Tree = {"cpu": wanted.cpu, "memory": wanted.memory}
    return {"requests": requests, **({"limits": limits} if limits else {})}


def probe(wanted: Probe, path: str, port: int) -> Tree:
    """An HTTP probe; a deployment's keys leave health open (`keyless`)."""
    return {
        "httpGet": {"path": path, "port": port},
        "initialDelaySeconds": wanted.initial_delay_s,
        "periodSeconds": wanted.period_s,
        "timeoutSeconds": wanted.timeout_s,
        "failureThreshold": wanted.failures,
        "successThreshold": wanted.successes,
    }
