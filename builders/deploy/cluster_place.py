"""ClusterPlace: what was described for Kubernetes or KServe, acted on by kubectl in the cluster that it speaks to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gantline.builders.engine.place import Change, Status
from gantline.builders.engine.record import Record

from gantline.errors import GantlineError, NotFound, Unsupported

from .program import Program, kubectl

KUBERNETES, KSERVE = "kubernetes", "kserve"
_KINDS = "service,deployment,horizontalpodautoscaler,poddisruptionbudget,networkpolicy"


class ClusterPlace:
    """`where`: kubectl's context; empty: the one that is current."""

    def __init__(self, where: str) -> None:
        self.where = where

    @property
    def _kubectl(self) -> Program:
        return kubectl(self.where)

    def status(self, record: Record) -> Status:
        kind, name = _object(record)
        try:
            told = json.loads(self._kubectl.ask("get", kind, name, "--output", "json", "--request-timeout", "10s"))
        except NotFound:
            return Status("gone", why=f"not applied: `kubectl apply -f {record.details['path']}`")
        except (GantlineError, ValueError) as e:
            return Status("unreachable", why=str(e))
        return service_status(told) if record.place == KSERVE else deployment_status(told, name)

    def logs(self, record: Record, tail: int | None, follow: bool) -> Iterator[bytes]:
        selector = record.details["service" if record.place == KSERVE else "selector"]
        words = ["--selector", str(selector), "--prefix", "--tail", str(-1 if tail is None else tail)]
        return self._kubectl.lines("logs", *words, *(["--follow"] if follow else []))

    def update(self, record: Record, change: Change) -> Record:
        path = record.details["path"]
        raise Unsupported(
            f"endpoint {record.name}: {path} says what runs: `gantline deploy {change.ref or 'REF'} --to "
            f"{record.place} --overwrite -o {path}`, then `kubectl apply -f {path}`"
        )

    def keys(self, record: Record) -> Path:
        if not record.keys:
            raise Unsupported(f"endpoint {record.name}: asks nobody for keys; deploy it with --keys-secret")
        secret, _, key = record.keys.partition(":")
        raise Unsupported(
            f"endpoint {record.name}: its keys are secret {secret} of the cluster: `kubectl create secret generic "
            f"{secret} --from-file={key} --dry-run=client -o yaml | kubectl apply -f -`"
        )

    def delete(self, record: Record) -> None:
        if record.place == KSERVE:
            self._kubectl.end("delete", "inferenceservice", record.name, "--ignore-not-found")
        else:
            self._kubectl.end("delete", _KINDS, "--selector", str(record.details["owned"]), "--ignore-not-found")

    def close(self) -> None:
        pass


def _object(record: Record) -> tuple[str, str]:
    return (
        ("inferenceservice", record.name) if record.place == KSERVE else ("deployment", str(record.details["object"]))
    )


def deployment_status(told: Mapping[str, Any], name: str) -> Status:
    """Of a Deployment, as kubectl gives it. Its Service is the cluster's own: who wants it here forwards a port."""
    now = told.get("status", {})
    ready, wanted = int(now.get("readyReplicas") or 0), int(told.get("spec", {}).get("replicas") or 1)
    failed = [c.get("message", "") for c in now.get("conditions") or [] if _says(c, "Progressing", "False")]
    if failed:
        return Status("failed", why=failed[0])
    way = f"`kubectl port-forward deployment/{name} 8000`, then `gantline infer --url http://127.0.0.1:8000`"
    why = f"{ready} of {wanted} ready; its address is the cluster's: {way}"
    return Status("running" if ready else "starting", why=why)


def service_status(told: Mapping[str, Any]) -> Status:
    """Of an InferenceService, as kubectl gives it."""
    now = told.get("status", {})
    ready = [c for c in now.get("conditions") or [] if c.get("type") == "Ready"]
    if ready and _says(ready[0], "Ready", "True"):
        return Status("running", url=str(now.get("url", "")))
    return Status("starting", why=str(ready[0].get("message", "")) if ready else "its controller has said nothing yet")


def _says(condition: Mapping[str, Any], kind: str, word: str) -> bool:
    return condition.get("type") == kind and condition.get("status") == word
