"""KServe: an InferenceService whose predictor is a container of ours; a canary is its next revision."""

from __future__ import annotations

from dataclasses import replace

from gantline.builders.image.settings import HTTP

from gantline.errors import UsageError

from .container import LIVE, READY, container, placed, probe, pulling, volumes
from .description import DRAIN_S, SHUTDOWN_S, Deployment, Endpoint
from .documents import Tree, Written

_LONGEST = 63 - len("-predictor-00001")  # Knative's revisions are DNS labels too
_REFUSED = "PYTHONPATH"  # by KServe's admission, from 0.18 on
# what reaches Knative's autoscaler, and KServe's own where there is no Knative
_BY_CPU = {
    "autoscaling.knative.dev/class": "hpa.autoscaling.knative.dev", "serving.kserve.io/autoscalerClass": "hpa",
}  # fmt: skip
_GRACE_S = 30.0  # from SIGTERM to SIGKILL, without Knative (which gives more); Knative lets nobody say another
_TO_STOP_S = 5.0


def write(endpoint: Endpoint) -> Written:
    """One InferenceService; for two deployments the same one twice, to be applied one after the other.

    UsageError for more than two deployments, and for a second one without traffic, which KServe has no place for.
    """
    if len(endpoint.name) > _LONGEST:
        raise UsageError(f"kserve: endpoint {endpoint.name!r}: names are at most {_LONGEST} characters long there")
    if len(endpoint.deployments) > 2:
        raise UsageError(
            f"kserve: {len(endpoint.deployments)} deployments; an InferenceService has two at most, the one before and "
            "its canary"
        )
    if len(endpoint.deployments) > len(endpoint.weighted):
        idle = next(d.name for d in endpoint.deployments if not d.traffic)
        raise UsageError(f"kserve: {idle!r} has no traffic, and an InferenceService runs none such; leave it out")
    if deaf := next((d.name for d in endpoint.deployments if _REFUSED in (*d.environment, *d.secrets)), None):
        raise UsageError(f"kserve: {deaf}: environment: KServe admits no {_REFUSED}; put what it names into the image")
    notes = tuple(f"{d.name}: {what}" for d in endpoint.deployments for what in _left_out(d))
    if endpoint.port != HTTP:
        notes = ("port is not applied: KServe gives an InferenceService its address", *notes)
    if endpoint.site.gateway:
        notes = ("gateway is not applied: KServe has a router of its own", *notes)
    if len(endpoint.deployments) == 1:
        tree = _service(endpoint, endpoint.deployments[0], None)
        return Written({f"inferenceservice-{endpoint.name}.yaml": tree}, notes, "kubectl apply -f {path}")
    # sorted() keeps the order of equals: then the second is the canary
    stable, canary = sorted(endpoint.deployments, key=lambda d: -d.traffic)
    documents = {
        f"1-{stable.name}.yaml": _service(endpoint, stable, None),
        f"2-{canary.name}.yaml": _service(endpoint, canary, canary.traffic),
    }
    there = f" --namespace {endpoint.site.namespace}" if endpoint.site.namespace else ""
    wait = f"kubectl wait{there} --for=condition=Ready --timeout=10m inferenceservice/{endpoint.name}"
    first, second = (f"kubectl apply -f {{path}}/{name}" for name in documents)
    return Written(documents, notes, f"{first} && {wait} && {second}", apart=True)


def _left_out(one: Deployment) -> list[str]:
    found = []
    if one.egress is False:
        found.append("egress is not applied: an InferenceService has no network policy; write one for its pods")
    drain, shutdown = _times(one)
    if (one.drain_s, one.shutdown_s) not in ((DRAIN_S, SHUTDOWN_S), (drain, shutdown)):
        found.append(
            f"drain_s and shutdown_s are not applied as said: KServe gives a pod {_GRACE_S:g} s to end; they become "
            f"{drain:g} and {shutdown:g}"
        )
    return found


def _times(one: Deployment) -> tuple[float, float]:
    """Seconds to drain and to answer that end before a pod is killed."""
    drain = min(one.drain_s, _GRACE_S - _TO_STOP_S)
    return drain, min(one.shutdown_s, _GRACE_S - _TO_STOP_S - drain)


def _service(endpoint: Endpoint, one: Deployment, canary: int | None) -> Tree:
    drain, shutdown = _times(one)
    pod = container(replace(one, drain_s=drain, shutdown_s=shutdown), "kserve-container")
    pod["ports"] = [{"name": "http1", "containerPort": HTTP, "protocol": "TCP"}]
    # what Knative's revisions refuse: a second port, and of old startup probes: so liveness begins when one would
    # have given up
    startup, live = one.probes.startup, one.probes.liveness
    patience = startup.initial_delay_s + startup.period_s * startup.failures
    pod["readinessProbe"] = probe(one.probes.readiness, READY, HTTP)
    pod["livenessProbe"] = probe(replace(live, initial_delay_s=max(live.initial_delay_s, patience)), LIVE, HTTP)
    predictor: Tree = {
        **({} if canary is None else {"canaryTrafficPercent": canary}),
        "minReplicas": one.instances.low,
        "maxReplicas": one.instances.high,
    }
    scaled = one.instances.high > one.instances.low
    if scaled:
        predictor |= {"scaleMetric": "cpu", "scaleTarget": one.instances.cpu_percent}
    predictor |= {
        **pulling(endpoint.site),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "containers": [pod],
        "volumes": volumes(one),
    }
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": endpoint.name,
            **placed(endpoint.site),
            "labels": {"app.kubernetes.io/managed-by": "gantline"},
            # its usual autoscaler counts requests, and its admission refuses "cpu" for that one
            **({"annotations": dict(_BY_CPU)} if scaled else {}),
        },
        "spec": {"predictor": predictor},
    }
