"""Compose: a file of services for an engine on one machine; it has no router and no scheduler."""

from __future__ import annotations

from gantline.builders.image import places
from gantline.builders.image.settings import GRPC, HTTP

from . import quantity
from .container import KEYS_FOLDER
from .description import Deployment, Endpoint, Probes, Resources, only_weighted
from .documents import Tree, Written
from .single import HEALTHY, SECRETS, left_out, patience_s, shares, single


def write(endpoint: Endpoint) -> Written:
    """One service for each deployment; the one with all traffic is published. UsageError where several share it."""
    served = only_weighted(endpoint, "compose", "compose has no router")
    notes = (*endpoint.site.left_out(), *(f"{d.name}: {what}" for d in endpoint.deployments for what in left_out(d)))
    tree: Tree = {
        "name": endpoint.name,
        "services": {d.name: _service(endpoint, single(d), d is served) for d in endpoint.deployments},
    }
    # a project's name is told, too: COMPOSE_PROJECT_NAME would else beat the file's
    starting = f"docker compose --project-name {endpoint.name} -f {{file}} up --wait --remove-orphans"
    return Written({"compose.yaml": tree}, notes, starting)


def _service(endpoint: Endpoint, one: Deployment, published: bool) -> Tree:
    plain = one.variables
    if one.keys:
        plain |= {"GANTLINE_KEYS": f"{KEYS_FOLDER}/{one.keys.key}", "GANTLINE_NO_AUTH": "false"}
    environment = {name: value.replace("$", "$$") for name, value in sorted(plain.items())}
    for name, of in sorted(one.secrets.items()):
        # the shell that starts it has the value: nothing secret is written down
        environment[name] = f"${{{name}:?set it to key {of.key} of secret {of.secret}}}"
    # without keys only this machine may ask
    host = "" if one.keys else "127.0.0.1:"
    doors = [f"{host}{endpoint.port}:{HTTP}", f"{host}{endpoint.grpc_port}:{GRPC}"]
    tree: Tree = {
        "image": one.image.name,
        "user": f"{places.USER}:{places.USER}",
        "read_only": True,
        "tmpfs": [f"/tmp:size={int(quantity.value(one.resources.tmp))}"],
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "environment": environment,
        **({"ports": doors} if published else {"expose": [str(HTTP), str(GRPC)]}),
        "healthcheck": _health(one.probes),
        # an engine heeds no reservation of processors; with shares, who asks for more has more where they are scarce
        "cpu_shares": shares(one.resources.cpu),
        "stop_grace_period": f"{one.grace_s}s",
        "restart": "unless-stopped",
        "deploy": {"resources": _resources(one.resources)},
    }
    if one.keys:
        # its folder, not a secret of compose's, which is the file: one that takes its place would never be seen
        source = f"./{SECRETS}/{one.keys.secret}"
        bind = {"create_host_path": False}
        tree["volumes"] = [{"type": "bind", "source": source, "target": KEYS_FOLDER, "read_only": True, "bind": bind}]
    return tree


def _health(probes: Probes) -> Tree:
    ready = probes.readiness
    return {
        "test": list(HEALTHY),
        "interval": f"{ready.period_s}s",
        "timeout": f"{ready.timeout_s}s",
        "retries": ready.failures,
        "start_period": f"{patience_s(probes)}s",
    }


def _resources(wanted: Resources) -> Tree:
    limits: Tree = {}
    if wanted.cpu_limit:
        limits["cpus"] = _number(wanted.cpu_limit)
    if wanted.memory_limit:
        limits["memory"] = f"{int(quantity.value(wanted.memory_limit))}b"
    kept: Tree = {"memory": f"{int(quantity.value(wanted.memory))}b"}
    if wanted.gpus:
        kept["devices"] = [{"driver": "nvidia", "count": wanted.gpus, "capabilities": ["gpu"]}]
    return {**({"limits": limits} if limits else {}), "reservations": kept}


def _number(text: str) -> str:
    return f"{quantity.value(text).normalize():f}"
