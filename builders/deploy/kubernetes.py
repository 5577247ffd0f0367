"""Kubernetes: a Deployment with its autoscaler, budget and network policy for each deployment, and one Service.

A Service knows no weights: it sends to the one deployment that has all traffic. Others run beside it, each behind a
Service of its own, so that they can be tried before the traffic moves. Where the cluster has a gateway, that is told
their weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from gantline.builders.image import places
from gantline.builders.image.settings import GRPC, HTTP

from .container import LIVE, READY, container, placed, ports, probe, pulling, scraped, volumes
from .description import Deployment, Endpoint, only_weighted
from .documents import Tree, Written
from .gateway import route
from .single import patience_s

_MANAGER = {"app.kubernetes.io/managed-by": "gantline", "app.kubernetes.io/component": "model-server"}
_VERSION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")  # what a label may say
_PATIENCE_S = 600  # in which a rollout is to get on, unless it is told otherwise


def write(endpoint: Endpoint) -> Written:
    """The objects of an endpoint, without a namespace. UsageError where several deployments share the traffic."""
    objects: list[Tree] = []
    if endpoint.site.gateway:
        objects.append(route(endpoint, {"app.kubernetes.io/name": endpoint.name, **_MANAGER}))
    if not endpoint.site.gateway or len(endpoint.weighted) == 1:
        served = only_weighted(
            endpoint, "kubernetes", "a Service has no weights (a gateway has: --gateway; so has KServe: --to kserve)"
        )
        objects.append(_service(endpoint.name, endpoint, served))
    for one in endpoint.deployments:
        objects += _of(one, endpoint)
    names = (f"{n:02}-{_file(tree)}" for n, tree in enumerate(objects, 1))
    return Written(dict(zip(names, objects, strict=True)), next="kubectl apply -f {path}")


def _file(tree: Tree) -> str:
    return f"{tree['kind'].lower()}-{tree['metadata']['name']}.yaml"


def _of(one: Deployment, endpoint: Endpoint) -> Iterator[Tree]:
    name = f"{endpoint.name}-{one.name}"
    if not one.traffic or endpoint.site.gateway:
        yield _service(name, endpoint, one)
    yield _deployment(name, endpoint, one)
    if one.instances.high > one.instances.low:
        yield _autoscaler(name, endpoint, one)
    yield _budget(name, endpoint, one)
    yield _network(name, endpoint, one)


def _chosen(endpoint: Endpoint, one: Deployment) -> Tree:
    """The labels by which its pods are found, which never change."""
    return {"app.kubernetes.io/name": endpoint.name, "app.kubernetes.io/instance": f"{endpoint.name}-{one.name}"}


def _metadata(name: str, endpoint: Endpoint, one: Deployment) -> Tree:
    return {"name": name, **placed(endpoint.site), "labels": _labels(endpoint, one)}


def _labels(endpoint: Endpoint, one: Deployment) -> Tree:
    """Those that Kubernetes recommends."""
    return {**_chosen(endpoint, one), **_MANAGER, **version_label(one.image.name)}


def version_label(image: str) -> Tree:
    """The image's tag, or the first digits of its digest; nothing where a label cannot say it."""
    name, _, digest = image.rpartition("/")[2].partition("@")
    version = name.partition(":")[2] or digest.partition(":")[2][:12]
    return {"app.kubernetes.io/version": version} if _VERSION.fullmatch(version) else {}


def _service(name: str, endpoint: Endpoint, one: Deployment) -> Tree:
    doors = (("http", endpoint.port, "http"), ("grpc", endpoint.grpc_port, "kubernetes.io/h2c"))
    sent = [
        {"name": name, "port": port, "targetPort": name, "protocol": "TCP", "appProtocol": spoken}
        for name, port, spoken in doors
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(name, endpoint, one),
        "spec": {"type": "ClusterIP", "selector": _chosen(endpoint, one), "ports": sent},
    }


def _deployment(name: str, endpoint: Endpoint, one: Deployment) -> Tree:
    pod = container(one, "gantline")
    pod["ports"] = ports()
    # asked of ready, so that no other probe begins before the model is loaded
    pod["startupProbe"] = probe(one.probes.startup, READY, HTTP)
    pod["readinessProbe"] = probe(one.probes.readiness, READY, HTTP)
    pod["livenessProbe"] = probe(one.probes.liveness, LIVE, HTTP)
    spec = {
        **pulling(endpoint.site),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": one.grace_s,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": places.USER,
            "runAsGroup": places.USER,
            "fsGroup": places.USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **_spread(endpoint, one),
        "containers": [pod],
        "volumes": volumes(one),
    }
    scaled = one.instances.high > one.instances.low
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(name, endpoint, one),
        "spec": {
            # an autoscaler's number must not be taken back by the next apply
            **({} if scaled else {"replicas": one.instances.low}),
            # a model may take as long to be ready as its startup probe allows
            "progressDeadlineSeconds": max(_PATIENCE_S, patience_s(one.probes) + 60),
            "selector": {"matchLabels": _chosen(endpoint, one)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {"metadata": {"labels": _labels(endpoint, one), **scraped(one)}, "spec": spec},
        },
    }


def _spread(endpoint: Endpoint, one: Deployment) -> Tree:
    """Over nodes and zones as far as there is room: one that fails takes few of the instances along."""
    if one.instances.high == 1:
        return {}
    rule = {
        "maxSkew": 1,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": _chosen(endpoint, one)},
        # those of the image before do not count: they are about to end
        "matchLabelKeys": ["pod-template-hash"],
    }
    places = ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
    return {"topologySpreadConstraints": [{**rule, "topologyKey": place} for place in places]}


def _autoscaler(name: str, endpoint: Endpoint, one: Deployment) -> Tree:
    target = {"type": "Utilization", "averageUtilization": one.instances.cpu_percent}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": _metadata(name, endpoint, one),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": one.instances.low,
            "maxReplicas": one.instances.high,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        },
    }


def _budget(name: str, endpoint: Endpoint, one: Deployment) -> Tree:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _metadata(name, endpoint, one),
        "spec": {
            # not minAvailable, which would let no node with the only instance be emptied
            "maxUnavailable": 1,
            # nor may instances that never were ready, by a wrong image say, keep theirs from it
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": _chosen(endpoint, one)},
        },
    }


def _network(name: str, endpoint: Endpoint, one: Deployment) -> Tree:
    allowed = [{"port": HTTP, "protocol": "TCP"}, {"port": GRPC, "protocol": "TCP"}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(name, endpoint, one),
        "spec": {
            "podSelector": {"matchLabels": _chosen(endpoint, one)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"ports": allowed}],
            "egress": [{}] if one.egress else [],
        },
    }
