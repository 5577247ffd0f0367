"""Azure: the endpoint and deployments of Azure ML's v2 YAML as a description; what is not applied, and why."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gantline.builders.azure_documents import Document
from gantline.builders.azure_keys import leaves

from gantline.errors import UsageError

from .description import Deployment, Endpoint, ImageName, Instances, Probe, Probes, Resources, SecretKey, Site
from .fields import Fields

_PROBES = ("initial_delay", "period", "timeout", "success_threshold", "failure_threshold")
_GPUS = "nvidia.com/gpu"
_SCALE = ("type", "min_instances", "max_instances", "target_utilization_percentage")
_USED = frozenset((
    "name", "endpoint_name", "instance_count", "environment_variables", "egress_public_network_access",
    *(f"scale_settings.{key}" for key in _SCALE),
    *(f"{probe}_probe.{key}" for probe in ("liveness", "readiness", "startup") for key in _PROBES),
    *(f"resources.{kind}.{key}" for kind in ("requests", "limits") for key in ("cpu", "memory", _GPUS)),
    "request_settings.request_timeout_ms", "request_settings.max_queue_wait_ms",
))  # fmt: skip
_USED_OF_ENDPOINT = frozenset(("name", "traffic"))
_IMAGE = "it is in the image: gantline package and gantline build put it there"
_ACCOUNT = "identities are the platform's; bind one to the pods there"
# the longest key that begins one that is not acted on -> why; empty: it says nothing that could be applied
_WHY = {
    "$schema": "",
    "type": "",
    "model": _IMAGE,
    "model_mount_path": _IMAGE,
    "code_configuration": _IMAGE,
    "environment": _IMAGE,
    "description": "it describes",
    "tags": "they describe",
    "properties": "they describe",
    "instance_type": "it names a machine of Azure's; say resources (cpu, memory, gpus) instead",
    "app_insights_enabled": "metrics are at /metrics: let a Prometheus scrape them",
    "data_collector": "collect in the script",
    "request_settings.max_concurrent_requests_per_instance": "GANTLINE_MAX_QUEUE_ROWS bounds what waits",
    "scale_settings.polling_interval": "the platform's autoscaler has a rhythm of its own",
    "private_network_connection": "networks are the platform's",
    "auth_mode": "keys are a secret of the platform's: --keys-secret names it",
    "public_network_access": "the endpoint is inside the platform's network; what leads there is its operator's",
    "identity": _ACCOUNT,
    **dict.fromkeys(("liveness_probe", "readiness_probe", "startup_probe"), "health has paths of its own, by HTTP"),
    "location": "it names a place of Azure's",
    "mirror_traffic": "traffic is not mirrored",
    "compute": "it names a cluster; apply the files there",
    "kind": "",
    "id": "",
    "provisioning_state": "",
    "creation_context": "",
    "scoring_uri": "",
    "openapi_uri": "",
}
_WORKERS = "WORKER_COUNT"
# variables by which Azure's own server is told, which does not run here -> why
_OF_ITS_SERVER = {
    "AML_APP_ROOT": "it leads into the image",
    "AZUREML_ENTRY_SCRIPT": "it leads into the image",
    "AZUREML_MODEL_DIR": "it leads into the image",
    "WORKER_TIMEOUT": "GANTLINE_REQUEST_TIMEOUT_S is what a request may take",
    "WORKER_PRELOAD": "each process loads for itself",
    "AZUREML_LOG_LEVEL": "GANTLINE_LOG_LEVEL is the least level that is logged",
    "AML_APP_INSIGHTS_ENABLED": "metrics are at /metrics: let a Prometheus scrape them",
    "AML_APP_INSIGHTS_KEY": "metrics are at /metrics: let a Prometheus scrape them",
}
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_MOST_HOSTS = 64  # of one script
_BY_LOAD = "target_utilization"
_WORKSPACE = re.compile(r"\$\{\{.*\}\}|azureml:|@Microsoft\.KeyVault")


def read(
    documents: list[Document], image: Callable[[str, str], ImageName], keys: SecretKey | None, site: Site
) -> tuple[Endpoint, tuple[str, ...]]:
    """The endpoint that documents say together, and a line for each key that is not applied.

    `image` is asked with a deployment's name and "". UsageError where they do not fit together.
    """
    heads = [d for d in documents if d.kind == "endpoint"]
    bodies = [d for d in documents if d.kind == "deployment"]
    if len(heads) > 1:
        raise UsageError(f"{heads[1].path}: a second endpoint; {heads[0].path} is one already")
    if not bodies:
        raise UsageError(f"{documents[0].path}: no deployment; give its YAML, too")
    name = _endpoint_name(heads, bodies)
    shares = _shares(heads, bodies)
    notes: list[str] = []
    for document in documents:
        used = _USED_OF_ENDPOINT if document.kind == "endpoint" else _USED
        notes += (f"{document.path.name}: {line}" for line in _not_applied(document.tree, used, bool(keys)))
    made = tuple(_deployment(d, shares, image, keys, notes) for d in bodies)
    return Endpoint(name, made, site=site), tuple(notes)


def _endpoint_name(heads: list[Document], bodies: list[Document]) -> str:
    said = {Fields(d.tree, str(d.path)).text("endpoint_name"): d.path for d in bodies}
    said |= {Fields(d.tree, str(d.path)).text("name"): d.path for d in heads}
    named = sorted(name for name in said if name)
    if len(named) != 1:
        raise UsageError(f"{bodies[0].path}: these name {', '.join(named) or 'no endpoint'}; one is wanted")
    return named[0]


def _shares(heads: list[Document], bodies: list[Document]) -> dict[str, int]:
    names = [Fields(d.tree, str(d.path)).text("name") for d in bodies]
    if not heads or not heads[0].tree.get("traffic"):
        if len(bodies) > 1:
            raise UsageError(f"{bodies[0].path}: {len(bodies)} deployments, and no endpoint says their traffic")
        return {names[0]: 100}
    # camelCase is undone in keys, and names have none
    inner = Fields(heads[0].tree, str(heads[0].path)).part("traffic")
    shares = {name: inner.whole(name, 0, 0, 100) for name in inner.tree}
    for name in shares:
        if name not in names and shares[name]:
            raise UsageError(f"{inner.where}: {name!r} gets {shares[name]} %; give the YAML of that deployment, too")
    return shares


def _deployment(
    document: Document,
    shares: Mapping[str, int],
    image: Callable[[str, str], ImageName],
    keys: SecretKey | None,
    notes: list[str],
) -> Deployment:
    one = Fields(document.tree, str(document.path))
    name = one.text("name")
    environment, left_out = _environment(one)
    notes += (f"{document.path.name}: {line}" for line in (*left_out, *_scale_left_out(one)))
    environment |= _request_settings(one.part("request_settings"))
    return Deployment(
        name=name,
        image=image(name, ""),
        traffic=shares.get(name, 0),
        instances=_instances(one),
        resources=_resources(one),
        probes=_probes(one),
        environment=environment,
        keys=keys,
        egress=_word(one, "egress_public_network_access", ("enabled", "disabled")) == "enabled",
    )


def _environment(one: Fields) -> tuple[dict[str, str], list[str]]:
    """Variables as they are wanted here, and a line for each that is not."""
    found = one.variables("environment_variables")
    notes = []
    for name, value in list(found.items()):
        kept = "its value is kept in a workspace; make a secret of it on the platform"
        why = kept if _WORKSPACE.search(value) else _OF_ITS_SERVER.get(name)
        if why is not None:
            del found[name]
        if why:
            notes.append(f"environment_variables.{name} is not applied: {why}")
    if workers := found.pop(_WORKERS, ""):
        if not workers.isdecimal() or not 1 <= int(workers) <= _MOST_HOSTS:
            raise UsageError(
                f"{one.where}: environment_variables.{_WORKERS}: expected a whole number from 1 to {_MOST_HOSTS}, "
                f"found {workers!r:.40}"
            )
        found.setdefault("GANTLINE_INSTANCES", workers)
    return found, notes


def _word(one: Fields, key: str, words: tuple[str, ...]) -> str:
    """One of these, the first where nothing is said; Azure takes them in any case, and camelCase."""
    text = _CAMEL.sub("_", one.text(key, words[0])).lower()
    if text not in words:
        raise UsageError(f"{one.where}: {key}: expected one of {', '.join(words)}, found {one.tree[key]!r:.60}")
    return text


def _request_settings(one: Fields) -> dict[str, str]:
    found = {}
    for key, variable in (("request_timeout_ms", "REQUEST_TIMEOUT_S"), ("max_queue_wait_ms", "MAX_WAIT_S")):
        if one.tree.get(key) is not None:
            found[f"GANTLINE_{variable}"] = f"{one.whole(key, 0, 1, 86_400_000) / 1000:g}"
    return found


def _instances(one: Fields) -> Instances:
    scale = one.part("scale_settings")
    count = one.whole("instance_count", 1, 1, 10_000)
    if _word(scale, "type", ("default", _BY_LOAD)) != _BY_LOAD:
        return Instances(count, count)
    low = scale.whole("min_instances", 1, 1, 10_000)
    high = scale.whole("max_instances", low, 1, 10_000)
    return Instances(low, high, scale.whole("target_utilization_percentage", 70, 1, 100))


def _scale_left_out(one: Fields) -> Iterator[str]:
    """What one way of scaling says where the other is chosen."""
    scale = one.part("scale_settings")
    if _word(scale, "type", ("default", _BY_LOAD)) == _BY_LOAD:
        if one.tree.get("instance_count") is not None:
            yield f"instance_count is not applied: scale_settings.type is {_BY_LOAD}"
        return
    for key in _SCALE[1:]:
        if scale.tree.get(key) is not None:
            yield f"scale_settings.{key} is not applied: scale_settings.type is not {_BY_LOAD}"


def _resources(above: Fields) -> Resources:
    one = above.part("resources")
    asked, most = one.part("requests"), one.part("limits")
    said = {part.text(_GPUS) for part in (asked, most)} - {""}
    if len(said) > 1:
        raise UsageError(f"{one.where}: {_GPUS}: as many are given as are asked for, and these differ")
    gpus = next(iter(said), "0")
    if not gpus.isdecimal():
        raise UsageError(f"{one.where}: {_GPUS}: {gpus!r:.40} is no whole number")
    cpu, memory, cpu_limit, memory_limit = (part.text(key) for part in (asked, most) for key in ("cpu", "memory"))
    with above.placed():
        return Resources.of(cpu, memory, cpu_limit, memory_limit, int(gpus))


def _probes(one: Fields) -> Probes:
    usual = Probes()
    startup = _probe(one, "startup_probe", usual.startup)
    readiness = _probe(one, "readiness_probe", usual.readiness)
    liveness = _probe(one, "liveness_probe", usual.liveness)
    with one.placed():
        return Probes(startup, readiness, liveness)


def _probe(one: Fields, key: str, usual: Probe) -> Probe:
    inner = one.part(key)
    return Probe(
        initial_delay_s=inner.whole("initial_delay", usual.initial_delay_s, 0, 86400),
        period_s=inner.whole("period", usual.period_s, 1, 3600),
        timeout_s=inner.whole("timeout", usual.timeout_s, 1, 3600),
        failures=inner.whole("failure_threshold", usual.failures, 1, 10_000),
        successes=inner.whole("success_threshold", 1, 1, 100),
    )


def _not_applied(tree: Mapping[str, Any], used: frozenset[str], keyed: bool) -> Iterator[str]:
    for key in leaves(tree, used, ""):
        if key == "auth_mode" and keyed and tree[key] == "key":
            continue
        known = [start for start in _WHY if key == start or key.startswith(f"{start}.")]
        why = _WHY[max(known, key=len)] if known else "Gantline does not know it"
        if why:
            yield f"{key:.100} is not applied: {why}"
