"""ClusterPlace: what was described for Kubernetes or KServe, acted on by kubectl in the cluster that it speaks to."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

from gantline.builders.engine.place import Status
from gantline.builders.engine.record import Record
from gantline.builders.image.settings import HTTP

from gantline.errors import GantlineError, NotFound, Unavailable

from .program import Program, kubectl
from .written_place import WrittenPlace

KUBERNETES, KSERVE = "kubernetes", "kserve"
_KINDS = "service,deployment,horizontalpodautoscaler,poddisruptionbudget,networkpolicy"

_FORWARDING = ("--address", "127.0.0.1", "--pod-running-timeout", "20s")
_FORWARDED = re.compile(rb"Forwarding from 127\.0\.0\.1:(\d+) -> ")


class ClusterPlace(WrittenPlace):
    """`where`: kubectl's context; empty: the one that is current."""

    def __init__(self, where: str) -> None:
        self.where = where

    def _kubectl(self, record: Record) -> Program:
        return kubectl(self.where, str(record.details.get("namespace") or ""))

    def status(self, record: Record) -> Status:
        kind, name = _object(record)
        try:
            told = json.loads(
                self._kubectl(record).ask("get", kind, name, "--output", "json", "--request-timeout", "10s")
            )
        except NotFound:
            return Status("gone", why=f"not applied: `{self._applying(record)}`")
        except (GantlineError, ValueError) as e:
            return Status("unreachable", why=str(e))
        return service_status(told) if record.place == KSERVE else deployment_status(told, name)

    def logs(self, record: Record, tail: int | None, follow: bool) -> Iterator[bytes]:
        selector = record.details["service" if record.place == KSERVE else "selector"]
        container = "kserve-container" if record.place == KSERVE else "gantline"  # others stand beside it in a mesh
        words = [
            "--selector",
            str(selector),
            "--container",
            container,
            "--prefix",
            "--tail",
            str(-1 if tail is None else tail),
        ]
        return self._kubectl(record).lines("logs", *words, *(["--follow"] if follow else []))

    @contextmanager
    def forwarded(self, record: Record) -> Iterator[str]:
        """The URL at which this machine reaches it, while the block lasts; the cluster's own address is no use here."""
        if record.place == KSERVE:
            status = self.status(record)
            raise Unavailable(f"endpoint {record.name}: has no address; {status.state} ({status.why})")
        to = f"deployment/{record.details['object']}"
        with closing(self._kubectl(record).lines("port-forward", *_FORWARDING, to, f":{HTTP}")) as lines:
            yield _forwarded_to(record, lines)

    def _applying(self, record: Record) -> str:
        return f"kubectl apply -f {shlex.quote(str(record.details['path']))}"

    def _rotating(self, record: Record) -> str:
        secret, _, key = record.keys.partition(":")
        there = f" --namespace {space}" if (space := record.details.get("namespace")) else ""
        return (
            f"secret {secret} of the cluster: `kubectl create secret generic {secret}{there} --from-file={key} "
            "--dry-run=client -o yaml | kubectl apply -f -`"
        )

    def delete(self, record: Record) -> None:
        if record.place == KSERVE:
            self._kubectl(record).end("delete", "inferenceservice", record.name, "--ignore-not-found")
        else:
            # a cluster may know none of the last
            kinds = f"{_KINDS},httproute" if record.details.get("routed") else _KINDS
            self._kubectl(record).end("delete", kinds, "--selector", record.details["owned"], "--ignore-not-found")


def _forwarded_to(record: Record, lines: Iterable[bytes]) -> str:
    said = b""
    try:
        for said in lines:
            if found := _FORWARDED.search(said):
                return f"http://127.0.0.1:{int(found[1])}"
    except Unavailable as e:
        told = said.decode("utf-8", "replace").strip()
        raise Unavailable(f"endpoint {record.name}: {e.message}: {told:.300}") from e
    raise Unavailable(f"endpoint {record.name}: kubectl forwarded no port")


def _object(record: Record) -> tuple[str, str]:
    return (
        ("inferenceservice", record.name) if record.place == KSERVE else ("deployment", str(record.details["object"]))
    )


def deployment_status(told: Mapping[str, Any], name: str) -> Status:
    """Of a Deployment, as kubectl gives it. Its address is the cluster's own."""
    now = told.get("status", {})
    ready, wanted = int(now.get("readyReplicas") or 0), int(told.get("spec", {}).get("replicas") or 1)
    failed = [c.get("message", "") for c in now.get("conditions") or [] if _says(c, "Progressing", "False")]
    if failed:
        return Status("failed", why=failed[0])
    way = f"`kubectl port-forward deployment/{name} 8000`, as `gantline endpoint invoke` does"
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
