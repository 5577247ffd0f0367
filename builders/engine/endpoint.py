"""Endpoint: a container that `gantline run` started, as its labels and the engine tell it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from gantline.errors import NotFound

from .awaiting import place_in, url
from .wish import GRPC, HTTP, NAME, SHARE, STARTED, TLS

ANCHOR = "anchor"  # instead of a network, of the container that has the ports for others


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`url` and `grpc` are empty for one that does not run; `state` is the engine's word; `package` a digest."""

    name: str
    state: str
    url: str
    grpc: str
    model: str
    image: str
    image_id: str
    package: str
    created: str
    container: str
    code: int = 0  # the exit status of one that has ended
    network: str = "published"  # or host, anchored (in that of an anchor), ANCHOR
    offers: bool = False  # another can take its place while it serves
    port: int = 0  # outside
    grpc_port: int = 0


def described(attrs: dict[str, Any], away: str = "") -> Endpoint:
    """What an engine says of a container of ours; `away`: the host that the engine is on, if another than this."""
    labels = attrs.get("Config", {}).get("Labels") or {}
    try:
        started = json.loads(labels[STARTED])
        host = str(started["host"])
    except (KeyError, ValueError, TypeError) as e:
        raise NotFound(f"container {attrs.get('Name', '')}: has no {STARTED} that `gantline run` wrote") from e
    state = str(attrs.get("State", {}).get("Status", ""))
    network = str(started.get("network", "published"))
    ports = [int(started.get(key) or 0) for key in ("port", "grpc_port")]
    if network in ("published", ANCHOR):
        ports = [_published(attrs, inside) for inside in (HTTP, GRPC)]
    at = away if away and host in ("0.0.0.0", "::") else host
    told = dict(line.partition("=")[::2] for line in attrs.get("Config", {}).get("Env") or [])
    http, grpc = (url(at, port, bool(told.get(TLS))) if port and state == "running" else "" for port in ports)
    return Endpoint(
        labels[NAME], state, http, place_in(grpc), str(started.get("model", "")), str(started.get("image", "")),
        str(started.get("image_id", "")), str(started.get("package", "")), str(attrs.get("Created", "")),
        str(attrs.get("Id", ""))[:12], int(attrs.get("State", {}).get("ExitCode") or 0), network,
        SHARE in told, ports[0], ports[1],
    )  # fmt: skip


def _published(attrs: dict[str, Any], inside: int) -> int:
    bound = (attrs.get("NetworkSettings", {}).get("Ports") or {}).get(f"{inside}/tcp") or []
    return int(bound[0]["HostPort"]) if bound else 0
