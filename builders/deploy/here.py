"""Here: a described endpoint as this machine runs it, and what has to be done so that it does; it only decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gantline.builders.engine.record import Record
from gantline.builders.engine.wish import Wish

from gantline.errors import NotFound, UsageError

from . import quantity
from .description import Deployment, Endpoint, Resources, SecretKey
from .single import HEALTHY, left_out, patience_s, shares, single

DOCKER, PROCESS = "docker", "process"
_VALUE_BYTES = 1 << 20
_NANO = 10**9  # in Docker's words: of a second, of a processor


@dataclass(frozen=True, slots=True)
class Plan:
    """`act`: create, update (the one before serves until another is proved), replace (it does not), unchanged.

    `changes` says in words what differs.
    """

    act: str
    changes: tuple[str, ...] = ()


def only(endpoint: Endpoint, target: str) -> Deployment:
    """The one deployment. UsageError where there are several: nothing here shares traffic among them."""
    if len(endpoint.deployments) > 1:
        told = ", ".join(f"{d.name} {d.traffic} %" for d in endpoint.deployments)
        raise UsageError(
            f"{target}: one deployment an endpoint, for nothing routes between several ({told}); give each an endpoint "
            "of its own, or use --to kserve"
        )
    return endpoint.deployments[0]


def wish(endpoint: Endpoint, target: str, secrets: Path) -> Wish:
    """How it is to run. Values of its secrets are in files SECRET/KEY of a folder; NotFound names one that is not."""
    one = single(only(endpoint, target))
    values = {name: _value(secrets, of) for name, of in one.secrets.items()}
    return Wish(
        endpoint.name, endpoint.port, endpoint.grpc_port,
        "0.0.0.0" if one.keys else "127.0.0.1",  # without keys only this machine may ask
        variables=dict(sorted({**one.variables, **values}.items())),
        extra=_extra(one) if target == DOCKER else {},
        grace_s=one.grace_s,
        again=target == PROCESS,
    )  # fmt: skip


def keys_file(one: Deployment, secrets: Path) -> Path | None:
    """The file of API keys that a reference means. NotFound where there is none."""
    return None if one.keys is None else _file(secrets, one.keys)


def not_applied(endpoint: Endpoint, target: str) -> tuple[str, ...]:
    """What has no place here: NAME: KEY is not applied: WHY."""
    one = only(endpoint, target)
    lines = list(left_out(one))
    if target == PROCESS:
        if replace(one.resources, tmp=Resources().tmp) != Resources():
            lines.append(
                "resources is not applied: nothing keeps or limits them for a process here, nor gives it devices"
            )
        if (one.probes.readiness, one.probes.startup) != (type(one.probes)().readiness, type(one.probes)().startup):
            lines.append("probes is not applied: a process is asked whether it is ready when it starts, by --wait-s")
    if one.resources.tmp != Resources().tmp:
        lines.append("resources.tmp is not applied: /tmp is as large as what runs it makes it")
    return (*endpoint.site.left_out(), *(f"{one.name}: {line}" for line in lines))


def plan(before: Record | None, running: bool, wanted: Wish, image_id: str, keys: Path | None) -> Plan:
    """What leads from an endpoint as it is on record to the one that is wanted."""
    if before is None:
        return Plan("create")
    if not running:
        return Plan("replace", ("it does not run",))
    changes = list(_differences(before.details.get("wish") or {}, wanted.to_json()))
    pause = bool(changes)
    if before.keys != (str(keys) if keys else ""):
        changes.append(f"keys: {before.keys or 'none'} -> {keys or 'none'}")
        pause = True
    there = dict((before.details.get("wish") or {}).get("variables") or {})
    changes += (f"variable {name}" for name in sorted(_changed(there, wanted.variables)))
    if (old := before.deployments[0].image_id) != image_id:
        changes.append(f"image: {old[:19]} -> {image_id[:19]}")
    return Plan("replace" if pause else "update" if changes else "unchanged", tuple(changes))


def variables_changed(before: Record, wanted: Wish) -> dict[str, str | None]:
    """What a change sets, and with None takes out."""
    there = dict((before.details.get("wish") or {}).get("variables") or {})
    return {name: wanted.variables.get(name) for name in _changed(there, wanted.variables)}


def _changed(before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """But for variables and keys; values of variables may be secrets, and these are told nobody."""
    for key in ("host", "port", "grpc_port", "grace_s", "again"):
        if before.get(key) != after[key]:
            yield f"{key}: {before.get(key)} -> {after[key]}"
    old, new = before.get("extra") or {}, after["extra"]
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            yield f"{key}: {old.get(key)} -> {new.get(key)}"


def _file(secrets: Path, of: SecretKey) -> Path:
    path = secrets / of.secret / of.key
    if not path.is_file():
        raise NotFound(f"secret {of.secret}: key {of.key}: {path}: no such file; put it there, or say --secrets")
    return path.absolute()


def _value(secrets: Path, of: SecretKey) -> str:
    path = _file(secrets, of)
    try:
        with path.open("rb") as f:
            data = f.read(_VALUE_BYTES + 1)
        text = data.decode()
    except OSError as e:
        raise UsageError(f"{path}: cannot be read: {e.strerror}") from e
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not UTF-8, and a variable is text") from None
    if len(data) > _VALUE_BYTES or "\0" in text:
        raise UsageError(f"{path}: no value of a variable: it has NUL in it, or more than {_VALUE_BYTES} bytes")
    return text.removesuffix("\n")


def _extra(one: Deployment) -> dict[str, Any]:
    """What Docker is told beside where it answers, as the docker SDK names it."""
    found: dict[str, Any] = {
        "healthcheck": {
            "test": list(HEALTHY),
            "interval": one.probes.readiness.period_s * _NANO,
            "timeout": one.probes.readiness.timeout_s * _NANO,
            "retries": one.probes.readiness.failures,
            "start_period": patience_s(one.probes) * _NANO,
        },
        "restart_policy": {"Name": "unless-stopped"},
        **_resources(one.resources),
    }
    return found


def _resources(wanted: Resources) -> dict[str, Any]:
    usual, found = Resources(), dict[str, Any]()
    if wanted.cpu != usual.cpu:
        found["cpu_shares"] = shares(wanted.cpu)
    if wanted.memory != usual.memory:
        found["mem_reservation"] = int(quantity.value(wanted.memory))
    if wanted.cpu_limit:
        found["nano_cpus"] = int(quantity.value(wanted.cpu_limit) * _NANO)
    if wanted.memory_limit:
        found["mem_limit"] = int(quantity.value(wanted.memory_limit))
    if wanted.gpus:
        found["device_requests"] = [{"count": wanted.gpus, "capabilities": [["gpu"]]}]
    return found
