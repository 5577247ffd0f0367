"""Gateway: the router that a cluster may have, told by an HTTPRoute of the Gateway API how traffic is shared."""

from __future__ import annotations

from collections.abc import Iterator

from gantline.errors import UsageError

from .container import placed
from .description import Endpoint
from .documents import Tree

_MOST = 16
# the paths of gRPC, whose port is another
_GRPC = (
    "/inference.GRPCInferenceService", "/grpc.health.v1.Health", "/grpc.reflection.v1.ServerReflection",
    "/grpc.reflection.v1alpha.ServerReflection",
)  # fmt: skip


def route(endpoint: Endpoint, labels: Tree) -> Tree:
    """From the endpoint's host name to the Services of its deployments, by their weights.

    UsageError for more of them than a rule of the Gateway API has places.
    """
    if len(endpoint.weighted) > _MOST:
        raise UsageError(f"gateway: {len(endpoint.weighted)} deployments share the traffic; {_MOST} at most can")
    space, _, name = endpoint.site.gateway.rpartition("/")
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": endpoint.name, **placed(endpoint.site), "labels": labels},
        "spec": {
            "parentRefs": [{"name": name, **({"namespace": space} if space else {})}],
            "hostnames": [endpoint.site.hostname],
            "rules": [
                {"matches": list(_at(_GRPC)), "backendRefs": _shares(endpoint, endpoint.grpc_port)},
                {"matches": list(_at(("/",))), "backendRefs": _shares(endpoint, endpoint.port)},
            ],
        },
    }


def _at(paths: tuple[str, ...]) -> Iterator[Tree]:
    return ({"path": {"type": "PathPrefix", "value": path}} for path in paths)


def _shares(endpoint: Endpoint, port: int) -> list[Tree]:
    return [{"name": f"{endpoint.name}-{d.name}", "port": port, "weight": d.traffic} for d in endpoint.weighted]
