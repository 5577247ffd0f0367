"""ClusterPlace: what was described for Kubernetes or KServe, acted on by kubectl in the cluster that it speaks to."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from gantline.builders.engine.place import Change, Status
from gantline.builders.engine.record import Record
from gantline.builders.image.settings import HTTP

from gantline.errors import GantlineError, NotFound, Unavailable
from gantline.oci.store import Store
from gantline.oci.wiring import Wiring

from . import rollout, secret_keys
from .delivery import replaced, rewritten
from .description import Deployment, ImageName
from .facts import Facts, facts
from .forwarding import forwarded
from .image_name import find
from .pods import Trouble, gave_up, settled
from .program import Program, kubectl
from .written_place import WrittenPlace, again

KUBERNETES, KSERVE = "kubernetes", "kserve"

_FORWARDING = ("--address", "127.0.0.1", "--pod-running-timeout", "20s")
# variables by which more than the container's own is written
_SHAPING = ("GANTLINE_KEYLESS", "GANTLINE_NO_METRICS")


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
        if record.place == KSERVE:
            return service_status(told)
        return deployment_status(told, name, None if settled(told) else self._trouble(record, name))

    def _trouble(self, record: Record, name: str) -> Trouble | None:
        with suppress(GantlineError, ValueError):  # who may not read pods is told what the Deployment says
            found = rollout.look(self._kubectl(record), name)
            return found.trouble() or rollout.warned(self._kubectl(record), found)
        return None

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
        status = self.status(record)
        if record.place == KSERVE or status.state in ("failed", "gone"):
            raise Unavailable(f"endpoint {record.name}: has no address; {status.state} ({status.why})")
        to = f"deployment/{record.details['object']}"
        with closing(self._kubectl(record).lines("port-forward", *_FORWARDING, to, f":{HTTP}")) as lines:
            yield forwarded(lines, f"endpoint {record.name}")

    def update(self, record: Record, change: Change) -> Record:
        """By what was applied last, and in the files; Unsupported says the command where that is more than a step."""
        words = list(record.details.get("words") or ())
        by_file = "--file" in words
        if record.place == KSERVE or (by_file and change.variables) or any(v in change.variables for v in _SHAPING):
            return super().update(record, change)
        main = max(record.deployments, key=lambda one: one.traffic)
        store = Store.of_user()
        image = ""
        if change.ref:
            image = find(change.ref, store, change.wiring or Wiring(), "--by-tag" in words).name
        given = {name: value for name, value in change.variables.items() if value is not None}
        Deployment(main.name, ImageName(image), environment=given)  # which refuses what a server would
        name = str(record.details["object"])
        step = rollout.Step(name, "gantline", image, dict(change.variables))
        path = Path(str(record.details["path"]))
        files = rewritten(path, step)
        if not path.exists():
            change.say(f"{path}: not there any more; what runs is changed alone")
        rollout.roll(self._kubectl(record), step, change.wait_s, lambda: replaced(files))
        known = facts(image, store) if image else Facts(image_id=main.image_id, package=main.package)
        after = replace(main, image=image or main.image, image_id=known.image_id, package=known.package)
        words = again(words, change, f"{main.name}={image}" if image and by_file else "")
        deployments = tuple(after if one == main else one for one in record.deployments)
        model = known.model or record.model
        return replace(record, model=model, deployments=deployments, details={**record.details, "words": words})

    def rotate(self, record: Record, anew: Callable[[str], tuple[str, str]]) -> tuple[str, bool]:
        """In the Secret, which its pods read again by themselves: none of them is started anew."""
        secret, _, key = record.keys.partition(":")
        new = secret_keys.changed(self._kubectl(record), secret, key, anew)
        selector = record.details["service" if record.place == KSERVE else "selector"]
        return new, secret_keys.in_force(self._kubectl(record), str(selector), record.model, new)

    def _applying(self, record: Record) -> str:
        at = (("--context", self.where), ("--namespace", str(record.details.get("namespace") or "")))
        said = [word for pair in at if pair[1] for word in pair]
        return shlex.join(["kubectl", *said, "apply", "-f", str(record.details["path"])])

    def _rotating(self, record: Record) -> str:
        secret, _, key = record.keys.partition(":")
        return (
            f"{key} of secret {secret} in the cluster, by their digests: `gantline endpoint keys {record.name} "
            "--rotate primary` (or secondary) makes one anew"
        )

    def delete(self, record: Record) -> None:
        if record.place == KSERVE:
            self._kubectl(record).end("delete", "inferenceservice", record.name, "--ignore-not-found")
        else:
            # a cluster may know none of the last
            kinds = f"{rollout.KINDS},httproute" if record.details.get("routed") else rollout.KINDS
            self._kubectl(record).end("delete", kinds, "--selector", record.details["owned"], "--ignore-not-found")


def _object(record: Record) -> tuple[str, str]:
    return (
        ("inferenceservice", record.name) if record.place == KSERVE else ("deployment", str(record.details["object"]))
    )


def deployment_status(told: Mapping[str, Any], name: str, trouble: Trouble | None = None) -> Status:
    """Of a Deployment, as kubectl gives it, and what keeps it from what is wanted. Its address is the cluster's own."""
    now, asked = told.get("status", {}), told.get("spec", {}).get("replicas")
    ready, wanted = int(now.get("readyReplicas") or 0), 1 if asked is None else int(asked)
    over = gave_up(told)
    if not ready and (over or (trouble is not None and trouble.lasting)):
        return Status("failed", why=trouble.why if trouble is not None else over)
    way = f"`kubectl port-forward deployment/{name} 8000`, as `gantline endpoint invoke` does"
    worry = trouble.why if trouble is not None else over
    why = f"{ready} of {wanted} ready; " + (f"{worry}; " if worry else "") + f"its address is the cluster's: {way}"
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
